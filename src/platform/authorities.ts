import Type, { type Static } from 'typebox';
import { KeyAndCertificate } from './admin-messages.ts';

export type RootName = 'platform' | 'identity' | 'router';

/** The three roots that trust nothing of each other, and what issues under them. */
const Authorities = Type.Object({
  /** Certificates of components. */
  platformRoot: KeyAndCertificate,
  /** Used for instance identities and nothing else (IID-07). */
  identityRoot: KeyAndCertificate,
  identityIntermediate: KeyAndCertificate,
  /** The public certificate. */
  routerRoot: KeyAndCertificate,
});
export type Authorities = Static<typeof Authorities>;

/**
 * Roots on their way in or out (SECURITY-TESTS 35). `announced`: the next ones are trusted everywhere and issue nothing yet.
 * `retiring`: they issue, and the former ones are trusted until `until`; clients that know the former router root alone are
 * led to the new one by `routerCross`, which is sent with the public certificate. `retired`: they are trusted no more, and
 * components that run since before have to be told so.
 */
const RootRotation = Type.Union([
  Type.Object({ phase: Type.Literal('announced'), next: Authorities, overlapMs: Type.Number() }),
  Type.Object({
    phase: Type.Literal('retiring'),
    former: Type.Object({ platform: Type.String(), identity: Type.String(), router: Type.String() }),
    routerCross: Type.String(),
    until: Type.String(),
  }),
  Type.Object({ phase: Type.Literal('retired') }),
]);

/** Authorities, and what of them is on its way in or out. */
export const WithRotation = Type.Object({
  ...Authorities.properties,
  rotation: Type.Union([RootRotation, Type.Null()]),
});
export type WithRotation = Static<typeof WithRotation>;

/** Step one: the next roots are there to be trusted. */
export function announce<Secrets extends WithRotation>(
  secrets: Secrets,
  next: Authorities,
  overlapMs: number,
): Secrets {
  return { ...secrets, rotation: { phase: 'announced', next, overlapMs } };
}

/** Step three, when everybody shows certificates under them: the former ones count no more. */
export function retire<Secrets extends WithRotation>(secrets: Secrets): Secrets {
  return secrets.rotation?.phase === 'retiring' ? { ...secrets, rotation: { phase: 'retired' } } : secrets;
}

/** The end, when everybody has heard of it. */
export function finish<Secrets extends WithRotation>(secrets: Secrets): Secrets {
  return secrets.rotation?.phase === 'retired' ? { ...secrets, rotation: null } : secrets;
}

/** PEM of all roots of that kind that are trusted at present, the issuing one first. */
export function trustedRoots(secrets: WithRotation, name: RootName): string {
  const of = (authorities: Authorities): string =>
    ({
      platform: authorities.platformRoot,
      identity: authorities.identityRoot,
      router: authorities.routerRoot,
    })[name].cert;
  const { rotation } = secrets;
  const other =
    rotation?.phase === 'announced'
      ? of(rotation.next)
      : rotation?.phase === 'retiring'
        ? rotation.former[name]
        : undefined;
  return [of(secrets), ...(other === undefined ? [] : [other])].map((pem) => `${pem.trim()}\n`).join('');
}

/** The number in a root's name. */
export function generationOf(commonName: string): number {
  return Number(/ (\d+)$/.exec(commonName)?.[1] ?? 1);
}

import Type, { type Static } from 'typebox';
import { CLOCK_STEP_MS, createIntermediate, createRoot, crossSign } from '../kit/pki.ts';
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
type WithRotation = Static<typeof WithRotation>;

const TEN_YEARS_MS = 3650 * 86_400_000;

/** Each generation has names of its own: OpenSSL finds a root by its name. */
export async function makeAuthorities(generation: number): Promise<Authorities> {
  const notBefore = new Date(Date.now() - CLOCK_STEP_MS);
  const notAfter = new Date(Date.now() + TEN_YEARS_MS);
  const number = generation === 1 ? '' : ` ${generation}`;
  const identityRoot = await createRoot(`Cupola instance identity root${number}`, notBefore, notAfter);
  return {
    platformRoot: await createRoot(`Cupola platform root${number}`, notBefore, notAfter, 0),
    identityRoot,
    identityIntermediate: await createIntermediate(
      identityRoot,
      `Cupola instance identity${number}`,
      notBefore,
      notAfter,
    ),
    // One authority below: a former root signs the next.
    routerRoot: await createRoot(`Cupola router root${number}`, notBefore, notAfter, 1),
  };
}

/** Step one: the next roots are there to be trusted. */
export function announce<Secrets extends WithRotation>(
  secrets: Secrets,
  next: Authorities,
  overlapMs: number,
): Secrets {
  return { ...secrets, rotation: { phase: 'announced', next, overlapMs } };
}

/** Step two, when everybody trusts them: they issue. */
export async function promote<Secrets extends WithRotation>(secrets: Secrets, now: number): Promise<Secrets> {
  const { rotation } = secrets;
  if (rotation?.phase !== 'announced') return secrets;
  const until = new Date(now + rotation.overlapMs);
  const former = {
    platform: secrets.platformRoot.cert,
    identity: secrets.identityRoot.cert,
    router: secrets.routerRoot.cert,
  };
  // A day more: what is sent until the very end is not expired in between.
  const crossUntil = new Date(until.getTime() + 86_400_000);
  const routerCross = await crossSign(secrets.routerRoot, rotation.next.routerRoot, crossUntil);
  return {
    ...secrets,
    ...rotation.next,
    rotation: { phase: 'retiring', former, routerCross, until: until.toISOString() },
  };
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

import { CLOCK_STEP_MS, createIntermediate, createRoot, crossSign } from '../kit/pki.ts';
import type { Authorities, WithRotation } from './authorities.ts';

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

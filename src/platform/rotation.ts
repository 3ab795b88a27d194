import { X509Certificate } from 'node:crypto';
import { CupolaError, messageOf } from '../kit/errors.ts';
import type { Logger } from '../kit/log.ts';
import type { Rotatable, RotationStatus } from './admin-messages.ts';
import { announce, finish, generationOf, retire } from './authorities.ts';
import type { ComponentCertificates } from './certificates.ts';
import type { Supervised } from './components/supervised.ts';
import { makeAuthorities, promote } from './make-authorities.ts';
import type { Secrets } from './secrets.ts';

/** How long former roots stay trusted when nobody says otherwise: an app that reads its certificate at its start alone has a day. */
const DEFAULT_OVERLAP_MS = 24 * 3_600_000;
/** By themselves roots go long before their end, and clients have a month to fetch the next. */
const AUTOMATIC_OVERLAP_MS = 30 * 24 * 3_600_000;

export interface RotationOptions {
  components: readonly Supervised[];
  certificates: ComponentCertificates;
  secrets: () => Secrets;
  /** Keeps them for good before it returns. */
  save: (secrets: Secrets) => void;
  /** New certificates for the instances of every cell. Throws where some failed. */
  renewInstances: () => Promise<{ renewed: number }>;
  rotateSigningKey: () => Promise<void>;
  /** Processes may have been replaced. */
  changed: () => void;
  /** Resolves when replaced processes have finished, or after as long as a client may keep them. Throws where we must leave. */
  settle: () => Promise<void>;
  /** The router's roots changed: what shows them to clients follows. */
  routerRootsChanged: () => Promise<void>;
  log: Logger;
  now?: () => number;
}

/**
 * Replaces what the platform issued while everything runs (SECURITY-TESTS 35). Each step is written down before it begins and
 * may be repeated: an interrupted rotation is carried on by the next `tend`. Roots go in three steps: the next are trusted
 * everywhere; they issue, and everybody shows new certificates; the former are trusted no more, and everybody is told.
 */
export class Rotation {
  readonly #options: RotationOptions;
  readonly #now: () => number;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: RotationOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get status(): RotationStatus | null {
    const { rotation } = this.#options.secrets();
    if (!rotation) return null;
    return { phase: rotation.phase, until: rotation.phase === 'retiring' ? rotation.until : null };
  }

  /**
   * On demand. Gives what was done, for a person. Throws `rotation_under_way` where the former roots of the last one are still
   * trusted, and whatever kept a component from taking its part; then calling again carries it on.
   */
  rotate(what: Rotatable, overlapMs = DEFAULT_OVERLAP_MS): Promise<string[]> {
    return this.#inOrder(async () => {
      const done: string[] = [];
      if (what === 'roots' || what === 'all') done.push(...(await this.#rotateRoots(overlapMs)));
      else if (what === 'components') done.push(await this.#renewComponents());
      else if (what === 'instances') done.push(await this.#renewInstances());
      if (what === 'uaa' || what === 'all') {
        await this.#options.rotateSigningKey();
        done.push('UAA signs with a new key from 15 seconds from now; tokens of the former key stay valid');
      }
      return done;
    });
  }

  /** What is due by itself: steps of a rotation under way, certificates and roots that near their end. */
  tend(): Promise<void> {
    return this.#inOrder(async () => {
      const { rotation } = this.#options.secrets();
      if (rotation?.phase === 'announced') await this.#introduce();
      else if (rotation?.phase === 'retiring' && this.#now() >= Date.parse(rotation.until)) await this.#retire();
      else if (rotation?.phase === 'retired') await this.#forget();
      const due = this.#options.certificates.due(this.#now());
      if (due.roots) await this.#rotateRoots(AUTOMATIC_OVERLAP_MS);
      else if (due.components) await this.#renewComponents();
    });
  }

  async #rotateRoots(overlapMs: number): Promise<string[]> {
    const { secrets, save } = this.#options;
    const present = secrets();
    if (present.rotation?.phase === 'retiring') {
      if (overlapMs > 0)
        throw new CupolaError(
          'rotation_under_way',
          `the former roots are trusted until ${present.rotation.until}; --overlap 0 ends that now`,
        );
      return this.#retire();
    }
    if (present.rotation?.phase === 'retired') await this.#forget();
    if (secrets().rotation === null) {
      const generation = generationOf(new X509Certificate(present.platformRoot.cert).subject) + 1;
      save(announce(present, await makeAuthorities(generation), overlapMs));
    }
    return this.#introduce();
  }

  /** From "announced" to "retiring", and on where there is no overlap. */
  async #introduce(): Promise<string[]> {
    const { secrets, save, routerRootsChanged, settle } = this.#options;
    await this.#renewComponents();
    await routerRootsChanged();
    // A router on its way out trusts the former roots alone: it must not meet what the next ones issue.
    await settle();
    save(await promote(secrets(), this.#now()));
    const done = [await this.#renewComponents(), await this.#renewInstances()];
    const { rotation } = secrets();
    if (rotation?.phase !== 'retiring') return done;
    if (this.#now() >= Date.parse(rotation.until)) return [...done, ...(await this.#retire())];
    return [...done, `three new roots issue; the former are trusted until ${rotation.until}`];
  }

  async #retire(): Promise<string[]> {
    const { secrets, save } = this.#options;
    // Once more: nobody may be left behind with a certificate that nobody trusts afterwards.
    await this.#renewComponents();
    await this.#renewInstances();
    save(retire(secrets()));
    return this.#forget();
  }

  /** Whoever runs since before forgets the former roots. */
  async #forget(): Promise<string[]> {
    const { secrets, save, routerRootsChanged } = this.#options;
    await this.#renewComponents();
    await routerRootsChanged();
    save(finish(secrets()));
    this.#options.log.info('the former roots are trusted no more');
    return ['the former roots are trusted no more'];
  }

  /** Those that do not run get theirs when they start. */
  async #renewComponents(): Promise<string> {
    const { certificates } = this.#options;
    const before = certificates.issued;
    for (const supervised of this.#options.components) {
      const { component } = supervised;
      try {
        await supervised.renew();
      } catch (cause) {
        throw new CupolaError('not_renewed', `${component.name} did not take its certificates: ${messageOf(cause)}`, {
          cause,
        });
      }
    }
    // A component may have several, as the router has its own and the one that clients see.
    const names = [...certificates.issued].filter(([name, cert]) => before.get(name) !== cert).map(([name]) => name);
    this.#options.changed();
    this.#options.log.info('components have new certificates', { names });
    return `new certificates: ${names.join(', ') || 'none'}`;
  }

  async #renewInstances(): Promise<string> {
    const { renewed } = await this.#options.renewInstances();
    this.#options.log.info('instances have new certificates', { renewed });
    return `new instance identities: ${renewed}`;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    await this.#queue;
  }

  #inOrder<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(body);
    this.#queue = result.catch(() => {});
    return result;
  }
}

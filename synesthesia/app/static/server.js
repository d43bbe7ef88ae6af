// Asking the server: calls, and work that takes a while, with progress and cancel.

/**
 * Functions of serve.py's page component; each takes an object and gives {ok} or {error}.
 * @typedef {Record<string, (request: Record<string, unknown>) => Promise<{ok?: any, error?: string}>>} Functions
 */

/** What a person is told when something went wrong. */
export class Problem extends Error {}

export class Server {
  /** Who asks, as far as the server knows. */
  #user = Array.from(crypto.getRandomValues(new Uint8Array(16)), (v) => v.toString(16).padStart(2, "0")).join("");
  /** @type {string | null} */
  #job = null;

  /**
   * @param {Functions} functions
   * @param {(key: string) => string} say
   */
  constructor(functions, say) {
    this.functions = functions;
    this.say = say;
  }

  /**
   * @param {string} name
   * @param {Record<string, unknown>} [request]
   */
  async call(name, request = {}) {
    let told;
    try {
      told = await this.functions[name]({ user: this.#user, ...request });
    } catch {
      throw new Problem(this.say("lost"));
    }
    if (told.error !== undefined) throw new Problem(told.error);
    return told.ok;
  }

  /** Something quick. @param {string} what @param {Record<string, unknown>} settings */
  perform(what, settings) {
    return this.call("perform", { what, settings });
  }

  /**
   * Something that takes a while; gives each result as it comes. Ends early, without an error, when cancelled.
   *
   * @param {string} what
   * @param {Record<string, unknown>} settings
   * @param {(ahead: number, started: boolean) => void} [tell] how many are served before
   * @returns {AsyncGenerator<any>}
   */
  async *work(what, settings, tell = () => {}) {
    const job = await this.call("begin", { what, settings });
    this.#job = job;
    let have = 0;
    for (;;) {
      const { results, ahead, started, done, error, cancelled } = await this.call("more", { job, have });
      tell(ahead, started);
      for (const result of results) yield result;
      have += results.length;
      if (done) {
        if (error && !cancelled) throw new Problem(error);
        return;
      }
    }
  }

  /** Has the work that began last end. */
  async cancel() {
    if (this.#job) await this.call("cancel", { job: this.#job }).catch(() => undefined);
  }
}

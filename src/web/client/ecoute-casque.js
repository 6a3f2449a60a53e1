/**
 * `<ecoute-casque commercial="ID">`: the headphones of one salesperson, a wish and its end.
 *
 * Whom one hears, how loud and since when is in the floating panel that all headphones of a client share.
 */

import { CASQUE } from "./ecoute-casque-styles.js";
import { EcouteElement } from "./ecoute-element.js";
import { misuse } from "./ecoute-error.js";
import { who } from "./ecoute-names.js";
import { Panel } from "./ecoute-panel.js";
import { element, setText } from "./ecoute-view.js";
import { setIcon } from "./icons.js";

/** What a person's id is made of. */
const ID = /^(?![^]*[/?#%\\])[!-~]{1,128}$/;
/** States that « listening » goes through, by the event of the client that says so. */
const LISTENING = { listening_pending: "pending", listening_started: "started", listening_stopped: "stopped" };

export class EcouteCasque extends EcouteElement {
  #icon = element("span");
  #words = element("span");
  /** What the button was last drawn of. */
  #shown = "";
  #button = element("button", { type: "button", hidden: true }, this.#icon, this.#words);

  constructor() {
    super(CASQUE);
    this.#button.addEventListener("click", () => this.toggle());
    this.shadowRoot.append(this.#button);
  }

  /** Whom the headphones are of. */
  get commercial() { return this.getAttribute("commercial") ?? ""; }
  set commercial(id) { this.setOrRemove("commercial", id); }

  /** What the other person is told; absent is « accompagnement ». */
  get reason() { return this.getAttribute("reason") ?? undefined; }
  set reason(reason) { this.setOrRemove("reason", reason); }

  /** `pending` (a wish that waits), `started` (heard) or `stopped`. */
  get listening() {
    return this.client?.wishes.find((wish) => wish.commercial_id === this.commercial)?.state ?? "stopped";
  }

  /** Whether the person is on air and waits for whoever is heard instead. */
  get #isHeldBack() {
    return this.client?.wishes.find((wish) => wish.commercial_id === this.commercial)?.cause === "hearing_another";
  }

  /**
   * Wishes to hear the person, or ends that; a wish that waits for whoever is heard instead is asked for again. Call it inside a click, so that the browser allows sound. Before a wish,
   * `ecoute-listen` may be prevented, or may set `reason`.
   */
  toggle() {
    if (!this.client || !this.commercial) return;
    if (this.listening !== "stopped" && !this.#isHeldBack) this.client.stop(this.commercial);
    else if (this.isOwn && this.tell("listen", { commercial_id: this.commercial })) {
      this.client.listen(this.commercial, { reason: this.reason });
    }
  }

  get ownMisuse() {
    const { commercial: id } = this;
    // None yet may come with data that the application waits for.
    return !this.hasAttribute("commercial") || ID.test(id) ? null : misuse("commercial", JSON.stringify(id.slice(0, 80)));
  }

  /** Nobody's name is shown here. */
  get noticePlace() { return null; }

  focus(options) { this.#button.focus(options); }

  /** Reacts to one event of the client. */
  handle(name, detail) {
    const state = LISTENING[name];
    const isOurs = detail.commercial_id === this.commercial;
    if (state && isOurs) this.tell("listening", { ...detail, state });
    else if (name === "error" && isOurs) this.tell("error", detail);
  }

  /** Brings the button up to date. */
  draw() {
    const { shared } = this;
    const listening = this.#isHeldBack ? "stopped" : this.listening;
    this.drawProblem();
    this.#button.hidden = !shared || !this.commercial;
    // A wish needs somebody whose it is; what goes on may end at any time.
    this.#button.disabled = listening === "stopped" && !this.isOwn;
    if (!shared) return;
    shared.needPanel(Panel);
    const person = shared.client.commercial(this.commercial);
    const isOnAir = person?.state === "on_air";
    const shown = [this.language, this.commercial, person?.name, person?.state, listening].join("\n");
    if (shown === this.#shown) return;
    this.#shown = shown;
    const [picture, words, title] = {
      started: ["stop", "listen_leave", "listen_leave_title"],
      pending: ["wait", "listen_pending", "listen_pending_title"],
    }[listening] ?? (isOnAir ? ["headphones", "listen", "listen_title"] : ["headphones", "listen_wish", "listen_wish_title"]);
    const button = this.#button;
    button.dataset.state = person?.state ?? "offline";
    button.dataset.listening = listening;
    setIcon(this.#icon, picture);
    setText(this.#words, this.words(words));
    button.title = this.words(title);
    button.setAttribute("aria-pressed", String(listening !== "stopped"));
    button.setAttribute("aria-label", `${this.words(words)} – ${who(shared.personOf(this.commercial))}`);
  }
}

/**
 * The client library of écoute: everything that other applications import, in one file.
 *
 * Importing it defines two elements: `<ecoute-micro>` streams the microphone of a salesperson, and
 * `<ecoute-casque commercial="ID">` are the headphones of one salesperson. {@link EcouteClient} is for pages that draw
 * everything themselves. Types are in `ecoute.d.ts`, a React hook in `useEcoute.js`.
 *
 * ```html
 * <script type="module">
 *   import "https://ecoute.example/ecoute.js";
 *   document.querySelector("ecoute-micro").getToken = async () => (await fetch("/ecoute-token")).text();
 * </script>
 * ```
 */

import { EcouteCasque } from "./ecoute-casque.js";
import { EcouteMicro } from "./ecoute-micro.js";

export { EcouteClient, EVENTS } from "./ecoute-client.js";
export { EcouteError } from "./ecoute-error.js";
export { microphoneProblem, microphones } from "./ecoute-microphone.js";
export { showListeners } from "./ecoute-shared.js";
export { EcouteCasque, EcouteMicro };

// A page that imports the library from two addresses keeps the first; on a server there is none.
const elements = globalThis.customElements;
if (elements && !elements.get("ecoute-micro")) elements.define("ecoute-micro", EcouteMicro);
if (elements && !elements.get("ecoute-casque")) elements.define("ecoute-casque", EcouteCasque);

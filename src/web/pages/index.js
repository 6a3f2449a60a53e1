/** The entrance: opens the page of the role that this browser knows, or takes a link. */

import { showGate } from "./gate.js";
import { byId, startLanguages } from "./page.js";
import { storedRoles } from "./session.js";

const roles = storedRoles();
startLanguages(() => {});
if (roles.length === 1) location.replace(`/${roles[0]}`);
else if (roles.length > 1) byId("choice").hidden = false;
else showGate("no_token");

/**
 * Texts of the pages, in French first and in English; both have the same keys. What one element or page alone says is in a
 * file beside it, which adds to these.
 *
 * `{name}` stands for a value. Several lines make a list. Values are put in as text, never as markup.
 */

import { load, save } from "./session.js";

/** Languages that exist, the first being the default. */
export const LANGUAGES = ["fr", "en"];

const KEY = "ecoute.language";

const WORDS = {
  fr: {
    connected: "Connecté",
    connecting: "Connexion…",
    disconnected: "Déconnecté",
    reconnecting_in: "Reconnexion dans {s} s",
    seconds: "{s} s",
    minutes: "{min} min {s}",
    hours: "{h} h {min}",
    about_minutes: "{min} min",
    about_hours: "{h} h",
    language: "Langue",

    expired: "Votre accès a expiré. Demandez un nouveau lien à votre responsable.",
    sign_out: "Se déconnecter",
    diagnostic: "Copier le diagnostic",
    diagnostic_copied: "Diagnostic copié : collez-le dans un message.",
    diagnostic_text: "Texte du diagnostic",
    help: "Aide",
    room_microphone: "Micro d'ambiance :",
    close: "Fermer",

    live: "DIRECT",
    token_unavailable: "L'application n'a pas encore donné votre accès. Si elle vous demande de vous connecter, faites-le. Nouvel essai automatique…",
    misused: "écoute est mal intégré à cette application : prévenez la personne qui s'en occupe.",
    misused_function: "getToken doit être une fonction qui renvoie un jeton, ou une promesse de jeton. Reçu : {what}",
    misused_token: "getToken doit renvoyer un jeton : un texte sans espace, guillemet ni saut de ligne. Reçu : {what}",
    misused_attribute: "getToken doit être une propriété de l'élément. Reçu : un attribut",
    misused_server: "server doit être une adresse complète, https://… Reçu : {what}",
    misused_client: "client doit être un EcouteClient. Reçu : {what}",
    misused_commercial: "commercial doit être l'identifiant d'une personne. Reçu : {what}",
    page_listened: "● On vous écoute",
    ready: "PRÊT",
    asking: "Autorisez le micro",
    starting: "Démarrage du direct…",
    restarting: "Reprise du direct…",
    paused: "En pause – rien n'est transmis",
    pause: "PAUSE",
    resume_streaming: "Reprendre",
    interrupted_call: "Interrompu – appel en cours",
    interrupted_muted: "Interrompu – micro coupé par le système",
    interrupted_locked: "Interrompu – écran verrouillé",
    interrupted_network: "Interrompu – réseau perdu",
    interrupted_source: "Interrompu – plus aucun son",
    failed: "DIRECT IMPOSSIBLE",
    stop: "Arrêter le direct",
    badge_alone: "DIRECT – personne n'écoute",
    heard_by: "On vous écoute ({count}) :",
    heard_at_resume: "À la reprise ({count}) :",
    looks_like: "Nom semblable à :",
    microphone: "Micro",

    view_failed: "Cette partie de la page n'a pas pu être chargée.",
    reason: "Motif :",
    reason_coaching: "accompagnement",
    reason_quality: "qualité",
    reason_training: "formation",
    reason_safety: "sécurité",
    reason_other: "autre",
    reason_own: "autre : {text}",
    state_interrupted: "Interrompu",
    device: "Appareil",
    network_good: "Bonne connexion",
    network_fair: "Connexion moyenne",
    network_poor: "Mauvaise connexion",

    help_server_title: "Impossible de se connecter au serveur",
    help_server: "Vérifiez le Wi-Fi ou les données mobiles.\nSi d'autres sites fonctionnent, le serveur est peut-être arrêté : prévenez votre responsable.\nCette page réessaie automatiquement.",
    help_audio_title: "Erreur lors de l'établissement de la connexion audio",
    help_audio: "Le réseau bloque peut-être l'audio (Wi-Fi d'hôtel, pare-feu, VPN) : essayez les données mobiles.\nEssayez Chrome ou Edge.\nCette page réessaie automatiquement.",
    help_audio_unsupported_title: "Ce navigateur ne permet pas l'audio en direct",
    help_audio_unsupported: "WebRTC ou Web Audio y manque, ou y est bloqué (réglage de l'entreprise, extension, mode Isolement).\nOuvrez cette page dans une version récente de Chrome, Edge, Firefox ou Safari.\niPhone en mode Isolement : menu de la page, Réglages du site web, désactivez-le pour ce site.",
    help_refused_title: "Le serveur a refusé",
    help_refused: "Réessayez dans un instant.\nSi rien n'y fait, copiez le diagnostic et envoyez-le à votre responsable.",
    help_howling_title: "Larsen ? Mettez un casque.",
    help_howling: "Un sifflement se produit quand le micro est trop près d'un haut-parleur.\nMettez un casque, ou éloignez les deux appareils.",
  },

  en: {
    connected: "Connected",
    connecting: "Connecting…",
    disconnected: "Disconnected",
    reconnecting_in: "Reconnecting in {s} s",
    seconds: "{s} s",
    minutes: "{min} min {s}",
    hours: "{h} h {min}",
    about_minutes: "{min} min",
    about_hours: "{h} h",
    language: "Language",

    expired: "Your access has expired. Ask your supervisor for a new link.",
    sign_out: "Sign out",
    diagnostic: "Copy diagnostics",
    diagnostic_copied: "Diagnostics copied: paste them into a message.",
    diagnostic_text: "Diagnostics text",
    help: "Help",
    room_microphone: "Room microphone:",
    close: "Close",

    live: "LIVE",
    token_unavailable: "The application has not given you access yet. If it asks you to sign in, do so. Trying again automatically…",
    misused: "écoute is not embedded correctly in this application: tell whoever runs it.",
    misused_function: "getToken must be a function that returns a token, or a promise of one. Received: {what}",
    misused_token: "getToken must return a token: a string without spaces, quotes or line breaks. Received: {what}",
    misused_attribute: "getToken must be a property of the element. Received: an attribute",
    misused_server: "server must be a complete address, https://… Received: {what}",
    misused_client: "client must be an EcouteClient. Received: {what}",
    misused_commercial: "commercial must be a person's id. Received: {what}",
    page_listened: "● Somebody is listening to you",
    ready: "READY",
    asking: "Allow the microphone",
    starting: "Going on air…",
    restarting: "Resuming…",
    paused: "Paused – nothing is transmitted",
    pause: "PAUSE",
    resume_streaming: "Resume",
    interrupted_call: "Interrupted – on a call",
    interrupted_muted: "Interrupted – the system has muted the microphone",
    interrupted_locked: "Interrupted – screen locked",
    interrupted_network: "Interrupted – network lost",
    interrupted_source: "Interrupted – no sound",
    failed: "CANNOT GO ON AIR",
    stop: "Go off air",
    badge_alone: "LIVE – nobody is listening",
    heard_by: "Listening to you ({count}):",
    heard_at_resume: "When you resume ({count}):",
    looks_like: "Name similar to:",
    microphone: "Microphone",

    view_failed: "This part of the page could not be loaded.",
    reason: "Reason:",
    reason_coaching: "coaching",
    reason_quality: "quality",
    reason_training: "training",
    reason_safety: "safety",
    reason_other: "other",
    reason_own: "other: {text}",
    state_interrupted: "Interrupted",
    device: "Device",
    network_good: "Good connection",
    network_fair: "Fair connection",
    network_poor: "Poor connection",

    help_server_title: "Cannot connect to the server",
    help_server: "Check the Wi-Fi or the mobile data.\nIf other sites work, the server may be down: tell your supervisor.\nThis page keeps trying automatically.",
    help_audio_title: "The audio connection could not be established",
    help_audio: "The network may block audio (hotel Wi-Fi, firewall, VPN): try mobile data.\nTry Chrome or Edge.\nThis page keeps trying automatically.",
    help_audio_unsupported_title: "This browser does not allow live audio",
    help_audio_unsupported: "WebRTC or Web Audio is missing, or blocked (company policy, extension, Lockdown Mode).\nOpen this page in a recent version of Chrome, Edge, Firefox or Safari.\niPhone in Lockdown Mode: page menu, Website Settings, turn it off for this site.",
    help_refused_title: "The server refused",
    help_refused: "Try again in a moment.\nIf that does not help, copy the diagnostics and send them to your supervisor.",
    help_howling_title: "Howling sound? Use headphones.",
    help_howling: "A microphone too close to a loudspeaker makes a whistling sound.\nUse headphones, or move the two devices apart.",
  },
};

let chosen = LANGUAGES.find((code) => code === load(KEY))
  ?? LANGUAGES.find((code) => globalThis.navigator?.language?.toLowerCase().startsWith(code))
  ?? LANGUAGES[0];

/**
 * The language in use, or that of a part of a page, which its nearest `lang` says.
 * @param {Element} [place]
 * @returns {"fr"|"en"}
 */
export function language(place) {
  const said = place?.closest("[lang]")?.lang || (place && document.documentElement.lang);
  return LANGUAGES.find((code) => said?.toLowerCase().startsWith(code)) ?? chosen;
}

/** Adds texts, in every language. @param {Record<"fr"|"en", Record<string, string>>} more */
export function addWords(more) {
  for (const code of LANGUAGES) Object.assign(WORDS[code], more[code]);
}

/** Chooses a language and remembers it. @param {"fr"|"en"} code */
export function setLanguage(code) {
  chosen = code;
  save(KEY, code);
}

/** Whether a text exists. */
export function hasWords(key) { return Object.hasOwn(WORDS[chosen], key); }

/**
 * A text in the language in use. People's names stand after a colon, and `who` of `ecoute-names.js` makes them.
 * @param {string} key
 * @param {Record<string, string|number>} [values]
 * @param {"fr"|"en"} [code] another language than the one in use
 */
export function t(key, values = {}, code = chosen) {
  // In French no line begins with what a space stands before, nor ends with an opening guillemet.
  const text = code === "fr" ? WORDS[code][key].replace(/ (?=[:;?!»%])|(?<=«) /g, "\u00a0") : WORDS[code][key];
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

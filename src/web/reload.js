/**
 * Stands in the pages themselves and runs before any file of theirs: says when one of them did not load, and loads the page
 * again, sooner at first and at random moments, so that an office is no stampede.
 *
 * It knows no words of others, which may be what is missing, so it speaks both languages. Its one invariant: it touches no
 * page whose scripts run.
 */
(() => {
  const KEY = "ecoute.loads";
  let failed, tries = 0;

  const pauseMs = () => {
    tries += 1;
    // Without storage, tries are counted from each load on.
    try {
      tries = sessionStorage[KEY] = Number(sessionStorage[KEY] ?? 0) + 1;
    } catch {}
    return 2 ** Math.min(tries, 6) * (500 + 1000 * Math.random());
  };

  /** Nothing is lost by asking first: without a server the browser would show a page of its own instead. */
  const retry = async () => {
    const answer = await fetch(location.pathname, { method: "HEAD", cache: "no-store" }).catch(() => 0);
    if (answer.ok) location.reload();
    else setTimeout(retry, pauseMs());
  };

  const put = (place, name, properties) => {
    const made = Object.assign(document.createElement(name), properties);
    place.append(made);
    return made;
  };

  const fail = () => {
    document.body.replaceChildren();
    const main = put(document.body, "main", { role: "alert" });
    for (const [lang, text, again] of [
      ["fr", "Page incomplète : nouvel essai dans un instant. Personne ne peut vous entendre.", "Recharger"],
      ["en", "The page is incomplete: trying again in a moment. Nobody can hear you.", "Reload"],
    ]) {
      const card = put(main, "section", { className: "card", lang });
      put(card, "p", { textContent: text });
      put(card, "button", { textContent: again }).addEventListener("click", () => location.reload());
    }
    setTimeout(retry, pauseMs());
  };

  addEventListener("error", ({ target }) => {
    // The scripts may do without a style.
    if (target.rel === "stylesheet") setTimeout(() => target.replaceWith(target.cloneNode()), pauseMs());
    else if (target.localName === "script") {
      if (document.readyState === "loading") addEventListener("DOMContentLoaded", fail);
      else fail();
    } else return;
    failed = true;
  }, true);

  addEventListener("load", () => {
    try {
      if (!failed) sessionStorage.removeItem(KEY);
    } catch {}
  });
})();

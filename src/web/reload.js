/**
 * Stands in the pages themselves and runs before any file of theirs: says when one of them did not load, and loads the page
 * again, sooner at first and at random moments, so that an office is no stampede. Where all did and nothing came of it, the
 * browser is too old, and the page says what stands in it for that.
 *
 * It knows no words of others, which may be what is missing, so it speaks both languages. It is written for browsers far
 * older than those that the pages work in (ES5). Its one invariant: it touches no page whose scripts run.
 */
(function () {
  var KEY = "ecoute.loads";
  var failed, tries = 0;

  function pauseMs() {
    tries += 1;
    // Without storage, tries are counted from each load on.
    try {
      tries = sessionStorage[KEY] = Number(sessionStorage[KEY] || 0) + 1;
    } catch (none) {}
    return Math.pow(2, Math.min(tries, 6)) * (500 + 1000 * Math.random());
  }

  function reload() { location.reload(); }

  /** Nothing is lost by asking first: without a server the browser would show a page of its own instead. */
  function retry() {
    var asked = new XMLHttpRequest();
    asked.onloadend = function () {
      if (asked.status === 200) reload();
      else setTimeout(retry, pauseMs());
    };
    asked.open("HEAD", location.pathname);
    asked.send();
  }

  function put(place, name, properties) {
    var made = document.createElement(name);
    for (var key in properties) made[key] = properties[key];
    return place.appendChild(made);
  }

  /** Leaves nothing of the page but a place for words. */
  function clear() {
    document.body.textContent = "";
    var main = put(document.body, "main");
    put(main, "h1", { textContent: "écoute" });
    return main;
  }

  function fail() {
    var main = clear();
    main.setAttribute("role", "alert");
    [
      ["fr", "Page incomplète : nouvel essai dans un instant. Personne ne peut vous entendre.", "Recharger"],
      ["en", "The page is incomplete: trying again in a moment. Nobody can hear you.", "Reload"],
    ].forEach(function (words) {
      var card = put(main, "section", { className: "card", lang: words[0] });
      put(card, "p", { textContent: words[1] });
      put(card, "button", { textContent: words[2] }).addEventListener("click", reload);
    });
    setTimeout(retry, pauseMs());
  }

  // Until the scripts could have run, what is said to old browsers is hidden.
  var root = document.documentElement;
  root.className = "loads";

  addEventListener("error", function (event) {
    var target = event.target;
    // The scripts may do without a style.
    if (target.rel === "stylesheet") {
      setTimeout(function () { target.parentNode.replaceChild(target.cloneNode(), target); }, pauseMs());
    } else if (target.localName === "script") {
      if (document.readyState === "loading") addEventListener("DOMContentLoaded", fail);
      else fail();
    } else return;
    failed = true;
  }, true);

  addEventListener("load", function () {
    try {
      if (!failed) sessionStorage.removeItem(KEY);
    } catch (none) {}
    var old = document.getElementById("old");
    if (failed || !old) return;
    root.className = "";
    clear().appendChild(old);
    // The token stays in no address bar. Whoever opens the link in another browser has it where it came from.
    if (location.hash && history.replaceState) history.replaceState(null, "", location.pathname + location.search);
  });
})();

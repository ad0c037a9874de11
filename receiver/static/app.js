// Makes pages livelier; each of them works without it.
"use strict";
(() => {
  const background = { headers: { "X-Background": "1" }, credentials: "same-origin", cache: "no-store" };
  const liveEveryMs = 4000;
  const loadAgainAfterMs = 3000;

  // The viewer's time zone: pages show times, days and filters in it from the next request on.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  if (document.documentElement.dataset.zone !== zone) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `hubspot_calls_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
    const isKept = document.cookie.includes(`hubspot_calls_zone=${zone}`);
    const isForm = document.querySelector("main form[method=post] input:not([type=hidden])");
    // What a form answered, such as a secret, is shown this once.
    const isOnce = document.body.dataset.address;
    if (isKept && !isForm && !isOnce && sessionStorage.getItem("zone") !== zone) {
      sessionStorage.setItem("zone", zone);
      location.reload();
      return;
    }
  }

  // A page that a form answered with must not send the form again when it is loaded again.
  if (document.body.dataset.address) history.replaceState(null, "", document.body.dataset.address);
  // What an address said once is not said again.
  const address = new URL(location.href);
  if (["notice", "hubspot", "refresh"].some((name) => address.searchParams.has(name))) {
    ["notice", "count", "hubspot", "message", "code", "refresh"].forEach((name) => address.searchParams.delete(name));
    history.replaceState(null, "", address);
  }

  const notices = document.getElementById("notices");
  function say(text, kind, link) {
    const line = document.createElement("p");
    line.className = `notice ${kind}`;
    const words = document.createElement("span");
    words.textContent = text;
    line.append(words);
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = link.href;
      anchor.textContent = link.text;
      words.append(" ", anchor);
    }
    notices.replaceChildren(line);
  }

  // For who hears the page: what others see change where they look.
  function tell(text) {
    const told = document.getElementById("told");
    told.textContent = "";
    // The same words again are only heard if they were gone for a moment.
    setTimeout(() => { told.textContent = text; }, 50);
  }

  async function copy(button) {
    const field = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(field.value ?? field.textContent);
    } catch {
      if (field.select) field.select();
      else getSelection().selectAllChildren(field);
      document.execCommand("copy");
    }
    button.dataset.name ??= button.lastChild.textContent;
    button.lastChild.textContent = "Copied";
    tell("Copied");
    setTimeout(() => { button.lastChild.textContent = button.dataset.name; }, 2000);
  }

  // Parts marked `data-live`, each with an id, take over what they are on a newer copy of the page.
  // Returns the mark of that copy; undefined if it is not all taken over, and must be asked for again.
  async function renew() {
    const answer = await fetch(location.href, background);
    if (answer.status === 401) return sessionEnded();
    if (!answer.ok) return undefined;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const news = [];
    let isWhole = true;
    for (const part of document.querySelectorAll("[data-live]")) {
      const newer = fresh.getElementById(part.id);
      if (!newer || newer.innerHTML === part.innerHTML) continue;
      const held = part.contains(document.activeElement) ? document.activeElement : null;
      if (held && isInOpened(held)) {
        // Somebody is about to answer a question, which must not go away meanwhile.
        isWhole = false;
        continue;
      }
      const before = [...part.querySelectorAll("details")].map((it) => [nameOf(it), it.open]);
      const told = toldIn(part);
      part.innerHTML = newer.innerHTML;
      const opened = new Map(before);
      for (const it of part.querySelectorAll("details")) it.open = opened.get(nameOf(it)) ?? it.open;
      prepare(part);
      if (held) sameIn(part, held)?.focus({ preventScroll: true });
      if (toldIn(part) && toldIn(part) !== told) news.push(toldIn(part));
    }
    if (news.length) tell(news.join(". "));
    return isWhole ? fresh.querySelector("[data-live-mark]")?.dataset.mark ?? null : undefined;
  }

  function isInOpened(held) {
    const summary = held.closest("summary");
    const around = summary ? summary.parentElement.parentElement : held;
    return Boolean(around.closest("details[open]"));
  }

  function nameOf(details) {
    return details.id || details.querySelector("summary")?.textContent.trim();
  }

  // What is said aloud of a part when it has changed.
  function toldIn(part) {
    return [...part.querySelectorAll("[data-told]")].map((it) => it.textContent.trim()).join(", ");
  }

  // What has taken the place of an element that had the focus.
  function sameIn(part, held) {
    if (held.id) return document.getElementById(held.id);
    const alike = [...part.querySelectorAll(held.localName)];
    return alike.find((it) => held.href ? it.href === held.href : it.textContent === held.textContent);
  }

  let isOver = false;
  function sessionEnded() {
    isOver = true;
    const back = encodeURIComponent(location.pathname + location.search);
    say("Your session has ended; what you see is no longer renewed.", "neutral",
        { href: `/sign-in?why=expired&return_to=${back}`, text: "Sign in again" });
    return undefined;
  }

  // `data-mark` is what the page was made of; when the address in `data-live-mark` says another
  // word, something is new. The page is asked for again only then.
  function watch() {
    const marked = document.querySelector("[data-live-mark]");
    if (!marked) return;
    let mark = marked.dataset.mark;
    setInterval(async () => {
      if (document.hidden || isOver) return;
      try {
        const answer = await fetch(marked.dataset.liveMark, background);
        if (answer.status === 401) return sessionEnded();
        if (!answer.ok) return;
        const newest = (await answer.json()).mark;
        if (newest === mark) return;
        const shown = await renew();
        // What the copy was made of, not what is newest: a copy that was late is asked for again.
        if (shown === undefined) return;
        mark = shown ?? newest;
        // What was done has had its effect, which the page shows now.
        notices.querySelector(".good")?.remove();
        loadAgain();
      } catch { /* Away for a moment; the next look finds it again. */ }
    }, liveEveryMs);
  }

  // Late parts cost more than others: they follow the news at some distance.
  let isLoadingAgain = false;
  function loadAgain() {
    if (isLoadingAgain) return;
    isLoadingAgain = true;
    setTimeout(() => {
      isLoadingAgain = false;
      for (const part of document.querySelectorAll("[data-load]")) {
        if (!part.contains(document.activeElement) && !part.querySelector("details[open]")) load(part);
      }
    }, loadAgainAfterMs);
  }

  // What takes longer than the page comes after it.
  async function load(part) {
    part.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(part.dataset.load, background);
      if (answer.status === 401) return sessionEnded();
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const content = fresh.querySelector("[data-loaded]");
      if (answer.ok && content) part.replaceChildren(content);
    } catch { /* The link inside stays, and leads to the same. */ }
    part.removeAttribute("aria-busy");
  }

  // HubSpot in a window of its own; where none opens, the link leads there in this one.
  function connect(event, link) {
    const popup = window.open(`${link.href}${link.search ? "&" : "?"}popup=1`, "hubspot-connect",
                              "popup,width=720,height=820");
    if (!popup) return;
    event.preventDefault();
    isConnecting = true;
    const card = document.getElementById("connection");
    card?.setAttribute("aria-busy", "true");
    say("Go on in the HubSpot window.", "neutral");
    const watching = setInterval(async () => {
      // HubSpot may cut the tie between the windows, which looks like closing: say nothing certain.
      if (!popup.closed) return;
      clearInterval(watching);
      card?.removeAttribute("aria-busy");
      if (isTold) return;
      say("The HubSpot window is closed. Nothing has changed, unless you granted access there: then this page shows it in a moment.", "neutral");
      setTimeout(() => { if (!isTold) renew(); }, 1500);
    }, 500);
  }

  let isConnecting = false;
  let isTold = false;
  function told(data) {
    if (!data || data.type !== "hubspot-calls" || isTold) return;
    // Other tabs hear of it too: what is read or typed there stays, and only what is live is renewed.
    if (!isConnecting) return void renew().catch(() => { /* The next look finds it. */ });
    isTold = true;
    const here = new URL(location.pathname, location.origin);
    for (const name of ["hubspot", "code"]) if (data[name]) here.searchParams.set(name, data[name]);
    location.replace(here);
  }

  function prepare(root) {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
    for (const part of root.querySelectorAll("[data-load]")) load(part);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
    const link = event.target.closest("[data-popup]");
    if (link && event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey) connect(event, link);
  });
  document.addEventListener("submit", (event) => {
    // A form pressed twice is sent once.
    const button = event.submitter;
    if (event.target.method === "post" && button) setTimeout(() => { button.disabled = true; });
  });
  window.addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("form[method=post] button[disabled]")) button.disabled = false;
  });
  window.addEventListener("message", (event) => { if (event.origin === location.origin) told(event.data); });
  try { new BroadcastChannel("hubspot-calls").onmessage = (event) => told(event.data); } catch { /* Old browser. */ }
  prepare(document);
  watch();
})();

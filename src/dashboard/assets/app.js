"use strict";
// Progressive enhancement: every page works without this script, only not live.
(() => {
  const root = document.documentElement;
  const remember = (name, value) => {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    // in a frame of another site no other cookie is kept
    const kind = window.parent === window ? `SameSite=Strict${secure}` : "SameSite=None; Secure; Partitioned";
    document.cookie = `${name}=${encodeURIComponent(value)}; Path=/; Max-Age=31536000; ${kind}`;
  };

  // the server renders times in the viewer's zone, which it learns from this cookie
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  if (root.dataset.zone !== zone) {
    remember("ringback_zone", zone);
    const kept = document.cookie.includes(`ringback_zone=${encodeURIComponent(zone)}`);
    if (kept && root.dataset.zone !== undefined && !sessionStorage.getItem("ringback_zone_asked")) {
      sessionStorage.setItem("ringback_zone_asked", zone);
      location.reload();
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    // what the viewer opened or checked survives when a part is swapped
    const kept = new Set(["open", "checked"]);
    if (window.Idiomorph) Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name) => !kept.has(name);
    // live parts refresh while the page is visible, but not while someone types in them
    setInterval(() => {
      if (document.hidden) return;
      for (const part of document.querySelectorAll("[data-live]")) {
        const active = document.activeElement;
        const busy = active && part.contains(active) && active.matches("input:not([type=checkbox]), select, textarea");
        if (!busy) htmx.trigger(part, "refresh");
      }
    }, 4000);
  });

  const stale = (is) => { document.body.toggleAttribute("data-stale", is); };
  document.addEventListener("htmx:sendError", () => stale(true));
  document.addEventListener("htmx:responseError", (event) => stale(event.detail.xhr.status >= 500));
  document.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.xhr.status < 500) stale(false); });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-theme-choice]")) {
      const theme = event.target.value;
      remember("ringback_theme", theme);
      if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    }
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
    // one checkbox selects the whole list
    const all = event.target.closest("[data-all]");
    if (all) for (const box of document.querySelectorAll(`input[name="${all.dataset.all}"]`)) box.checked = all.checked;
    if (event.target.matches("input[type=checkbox], input[type=radio]")) count();
  });

  const count = () => {
    for (const place of document.querySelectorAll("[data-counts]")) {
      const chosen = document.querySelectorAll(`input[name="${place.dataset.counts}"]:checked`).length;
      place.textContent = String(chosen);
      const button = place.closest("button");
      if (button) button.disabled = chosen === 0;
    }
  };
  document.addEventListener("DOMContentLoaded", count);
  document.addEventListener("htmx:afterSettle", count);

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const text = document.querySelector(copy.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        say(copy, "Copied");
      } catch {
        const range = document.createRange();
        range.selectNodeContents(document.querySelector(copy.dataset.copy));
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        say(copy, "Selected: press Ctrl+C");
      }
    }
    const opens = event.target.closest("[data-opens]");
    if (opens) document.querySelector(opens.dataset.opens).showModal();
    const closes = event.target.closest("[data-closes]");
    if (closes) closes.closest("dialog").close();
    // adds a row from a template
    const adds = event.target.closest("[data-adds]");
    if (adds) {
      const template = document.querySelector(adds.dataset.adds);
      const line = template.content.cloneNode(true);
      const list = document.querySelector(template.dataset.into);
      list.append(line);
      const added = list.lastElementChild;
      if (window.htmx) htmx.process(added);
      const first = added.querySelector("input, select");
      if (first) first.focus();
    }
    const removes = event.target.closest("[data-removes]");
    if (removes) {
      const line = removes.closest(removes.dataset.removes);
      const list = line.parentElement;
      line.remove();
      list.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });

  // a slash leads to the search, unless something is typed
  document.addEventListener("keydown", (event) => {
    const search = document.getElementById("search");
    const isTyped = event.target.closest("input, select, textarea, dialog[open]");
    if (event.key !== "/" || !search || isTyped || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    search.focus();
  });

  const say = (button, text) => {
    const before = button.dataset.says || button.textContent;
    button.dataset.says = before;
    button.textContent = text;
    setTimeout(() => { button.textContent = before; }, 1500);
    const spoken = document.getElementById("spoken");
    if (spoken) spoken.textContent = text;
  };
})();

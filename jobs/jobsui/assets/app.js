// The pages are complete without this. It refreshes what is marked data-live,
// ticks all boxes at once, and leaves alone what the reader is doing.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  const every = 3000;
  const live = document.getElementById("live");

  const busy = () => document.hidden
    || live.getAttribute("aria-pressed") === "false"
    || document.querySelector("input:checked, form :focus, [data-live] :focus, [data-live] details[open]")
    || !document.getSelection().isCollapsed;

  async function refresh() {
    try {
      if (busy()) return;
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.body.classList.remove("lost");
      if (busy()) return; // the reader was quicker
      for (const old of document.querySelectorAll("[data-live]")) {
        const part = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
        if (part && part.innerHTML !== old.innerHTML) old.innerHTML = part.innerHTML;
      }
      const then = document.querySelector(".bottom"), now = fresh.querySelector(".bottom");
      if (then && now) then.innerHTML = now.innerHTML;
    } catch {
      document.body.classList.add("lost");
    } finally {
      setTimeout(refresh, every);
    }
  }
  setTimeout(refresh, every);

  // A notice is said once, not again when the page is loaded anew.
  const here = new URL(location.href);
  if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
  }

  const keep = "jobsui.live";
  const show = (on) => live.setAttribute("aria-pressed", String(on));
  show(sessionStorage.getItem(keep) !== "off");
  live.addEventListener("click", () => {
    const on = live.getAttribute("aria-pressed") === "false";
    sessionStorage.setItem(keep, on ? "on" : "off");
    show(on);
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("#all")) return;
    for (const box of document.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
  });
})();

// The pages are complete without this. It refreshes what is marked data-live,
// ticks all boxes at once and keeps what the reader is doing alone.
(() => {
  "use strict";
  document.documentElement.classList.add("js");
  const every = 3000;

  async function refresh() {
    if (document.hidden || document.querySelector("input:checked, form :focus, dialog[open]")) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-live]")) {
        const part = fresh.querySelector(`[data-live="${old.dataset.live}"]`);
        if (part && part.innerHTML !== old.innerHTML) old.innerHTML = part.innerHTML;
      }
      const then = document.querySelector(".bottom"), now = fresh.querySelector(".bottom");
      if (then && now) then.innerHTML = now.innerHTML;
      document.body.classList.remove("lost");
    } catch {
      document.body.classList.add("lost");
    }
  }
  setInterval(refresh, every);

  document.addEventListener("change", (event) => {
    if (!event.target.matches("#all")) return;
    for (const box of document.querySelectorAll("input[name=id]")) box.checked = event.target.checked;
  });
})();

// Keeps the list fresh and times local. The page works without it.
"use strict";
(() => {
  const list = document.getElementById("list");
  const status = document.getElementById("status");
  const every = 1500;
  const title = document.title;
  let tag = "";
  let unseen = 0;

  document.documentElement.classList.add("js");

  function localTimes(root) {
    for (const t of root.querySelectorAll("time")) {
      const at = new Date(t.dateTime);
      const today = at.toDateString() === new Date().toDateString();
      const short = today ? { timeStyle: "short" } : { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
      t.textContent = at.toLocaleString([], t.classList.contains("long") ? { weekday: "short", year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" } : short);
    }
  }

  // Read messages are remembered in the browser, newest last.
  const store = "devinbox.read " + location.pathname;
  function read() {
    try {
      return JSON.parse(localStorage.getItem(store)) || [];
    } catch {
      return []; // storage is off or holds something else
    }
  }
  function markRead(id) {
    try {
      localStorage.setItem(store, JSON.stringify(read().filter((x) => x !== id).concat(id).slice(-1000)));
    } catch {
      // without storage everything stays unread
    }
  }
  function markUnread() {
    const seen = new Set(read());
    for (const a of list.querySelectorAll(".item")) a.querySelector(".dot").hidden = seen.has(a.id);
  }

  function ids() {
    return new Set(Array.from(list.querySelectorAll(".item"), (a) => a.id));
  }

  function replace(html) {
    const before = ids();
    const focused = document.activeElement && list.contains(document.activeElement) ? document.activeElement.id : "";
    const scroll = list.scrollTop;
    list.innerHTML = html; // our own server's escaped list
    localTimes(list);
    markUnread();
    list.scrollTop = scroll;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    const fresh = Array.from(ids()).filter((id) => !before.has(id));
    for (const id of fresh) document.getElementById(id).classList.add("fresh");
    if (fresh.length === 0) return;
    status.textContent = fresh.length === 1 ? "1 new message" : fresh.length + " new messages";
    if (document.hidden) unseen += fresh.length;
    document.title = unseen ? "(" + unseen + ") " + title : title;
  }

  async function refresh() {
    try {
      const res = await fetch(list.dataset.url, { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
      document.documentElement.classList.toggle("lost", !res.ok && res.status !== 304);
      if (res.ok) {
        tag = res.headers.get("ETag") || "";
        replace(await res.text());
      }
    } catch {
      document.documentElement.classList.add("lost"); // the program is being restarted
    }
    setTimeout(refresh, every);
  }

  const current = list.querySelector(".item[aria-current]");
  if (current) markRead(current.id);
  localTimes(document);
  markUnread();
  setTimeout(refresh, every);

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    unseen = 0;
    document.title = title;
  });

  // Arrow keys walk through the list once it has the focus.
  list.addEventListener("keydown", (e) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    const items = Array.from(list.querySelectorAll(".item"));
    const at = items.indexOf(document.activeElement);
    if (!step || at < 0) return;
    e.preventDefault();
    items[Math.min(Math.max(at + step, 0), items.length - 1)].focus();
  });

  document.getElementById("clear").addEventListener("click", (e) => {
    if (!confirm("Remove all messages from the dev inbox?")) e.preventDefault();
  });
})();

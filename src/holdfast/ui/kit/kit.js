// The one script of holdfast. Every page works without it; with it pages refresh, keys work and charts answer.
"use strict";

(() => {
  const root = document.documentElement;
  const stored = (key, value) => {
    try {
      return value === undefined ? localStorage.getItem(key) : localStorage.setItem(key, value);
    } catch {
      return null; // Storage may be forbidden; the setting then lasts as long as the page.
    }
  };

  // MLflow's client prints addresses of its own pages, whose part behind the # never reaches a server. Here they
  // lead to the same run, experiment or version of ours.
  const elsewhere = (hash) => {
    const run = hash.match(/^#\/experiments\/\d+\/runs\/([0-9a-f]{32})/);
    if (run) return `/runs/${run[1]}`;
    const experiment = hash.match(/^#\/experiments\/(\d+)/);
    if (experiment) return `/runs?experiment=${experiment[1]}`;
    const model = hash.match(/^#\/models\/([^/?]+)(?:\/versions\/(\d+))?/);
    return model ? `/models/${model[1]}${model[2] ? `/versions/${model[2]}` : ""}` : "";
  };
  const target = location.pathname === "/" ? elsewhere(location.hash) : "";
  if (target) location.replace(target);

  // Before the first paint, so that a dark page never flashes light.
  root.classList.add("js");
  const chosen = stored("holdfast.theme");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  const toggleTheme = () => {
    const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = (root.dataset.theme || system) === "dark" ? "light" : "dark";
    stored("holdfast.theme", root.dataset.theme);
  };

  // ---- Live refresh: fetch this very URL and swap the marked nodes that changed.

  const live = { timer: 0, failures: 0, paused: stored("holdfast.live") === "paused" };

  // What the server sent, because hovering a chart changes the node it belongs to.
  const pristine = new WeakMap();

  const typing = (element) =>
    !!element && (element.isContentEditable || element.matches("input, textarea, select"));

  const inUse = (node) => {
    const focused = document.activeElement;
    const selection = getSelection();
    return (
      (node.contains(focused) && (typing(focused) || !focused.closest("tr[data-key]"))) ||
      node.querySelector("details[open], .readout, [data-copied], [data-choose]:checked") !== null ||
      (!!selection && !selection.isCollapsed && node.contains(selection.anchorNode))
    );
  };

  const rowTarget = (row) => row.querySelector("a.row-link") || row;

  const swap = (fresh) => {
    for (const node of document.querySelectorAll("[data-live]")) {
      const other = fresh.querySelector(`[data-live="${CSS.escape(node.dataset.live)}"]`);
      if (!other || inUse(node) || pristine.get(node) === other.outerHTML) continue;
      const key = node.contains(document.activeElement)
        ? document.activeElement.closest("tr[data-key]")?.dataset.key
        : undefined;
      const scrolled = [...node.querySelectorAll(".table-scroll, .lineage-scroll")].map((box) => box.scrollLeft);
      const replacement = document.importNode(other, true);
      pristine.set(replacement, other.outerHTML);
      node.replaceWith(replacement);
      enhanceCharts(replacement);
      replacement.querySelectorAll(".table-scroll, .lineage-scroll").forEach((box, index) => {
        box.scrollLeft = scrolled[index] || 0;
      });
      if (key !== undefined) {
        const row = replacement.querySelector(`tr[data-key="${CSS.escape(key)}"]`);
        if (row) rowTarget(row).focus({ preventScroll: true });
      }
    }
  };

  const showLive = (state, words) => {
    const button = document.querySelector("[data-live-toggle]");
    if (!button) return;
    button.dataset.state = state;
    button.textContent = words;
    button.setAttribute("aria-pressed", String(state !== "paused"));
  };

  const refresh = async (seconds) => {
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (live.paused) return;
      swap(fresh);
      live.failures = 0;
      live.seen = new Date().toTimeString().slice(0, 8);
      showLive("live", "live");
    } catch {
      live.failures += 1;
      showLive("lost", `no answer since ${live.seen}`);
    }
    schedule(seconds);
  };

  const schedule = (seconds) => {
    clearTimeout(live.timer);
    if (live.paused || document.hidden) return;
    const patience = Math.min(2 ** live.failures, 8);
    live.timer = setTimeout(() => {
      if (typing(document.activeElement) && document.activeElement.value) schedule(seconds);
      else refresh(seconds);
    }, seconds * 1000 * patience);
  };

  const startLive = () => {
    const seconds = Number(document.body.dataset.refresh || 0);
    const button = document.querySelector("[data-live-toggle]");
    if (!seconds || !button) return;
    live.seen = new Date().toTimeString().slice(0, 8);
    showLive(live.paused ? "paused" : "live", live.paused ? "paused" : "live");
    button.addEventListener("click", () => {
      live.paused = !live.paused;
      stored("holdfast.live", live.paused ? "paused" : "running");
      showLive(live.paused ? "paused" : "live", live.paused ? "paused" : "live");
      schedule(seconds);
    });
    document.addEventListener("visibilitychange", () => (document.hidden ? schedule(seconds) : live.paused || refresh(seconds)));
    schedule(seconds);
  };

  // ---- Charts: a crosshair and the values under it, by pointer or by arrow keys.

  const enhanceCharts = (scope) => {
    for (const area of scope.querySelectorAll(".chart-area[data-chart]")) {
      const data = JSON.parse(area.dataset.chart);
      if (data.x.length) enhance(area, data);
    }
  };

  const make = (kind, name, text = "") => {
    const made = document.createElement(kind);
    made.className = name;
    made.textContent = text;
    return made;
  };

  const nearest = (xs, fraction) => {
    let low = 0;
    let high = xs.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (xs[middle] < fraction) low = middle;
      else high = middle;
    }
    return Math.abs(xs[low] - fraction) <= Math.abs(xs[high] - fraction) ? low : high;
  };

  const enhance = (area, data) => {
    let at = -1;
    const clear = () => {
      area.querySelectorAll(".crosshair, .cross-dot, .readout").forEach((node) => node.remove());
      at = -1;
    };
    const show = (index) => {
      clear();
      at = index;
      const left = `${data.x[index] * 100}%`;
      const line = make("div", "crosshair");
      line.style.left = left;
      area.append(line);
      const readout = make("div", "readout");
      readout.append(make("b", "", data.labels[index]));
      for (const series of data.series) {
        const row = make("div", `s${series.colour}`);
        row.append(make("span", "", series.name), make("span", "", series.text[index] ?? "no value"));
        readout.append(row);
        if (series.y[index] === null) continue;
        const dot = make("i", `cross-dot s${series.colour}`);
        dot.style.left = left;
        dot.style.top = `${series.y[index] * 100}%`;
        area.append(dot);
      }
      if (data.notes[index]) readout.append(make("p", "", data.notes[index]));
      area.append(readout);
      const width = area.clientWidth;
      const x = data.x[index] * width;
      const wanted = x + 14 + readout.offsetWidth > width ? x - 14 - readout.offsetWidth : x + 14;
      readout.style.left = `${Math.max(-30, Math.min(wanted, width - readout.offsetWidth + 10))}px`;
    };
    area.tabIndex = 0;
    area.addEventListener("pointermove", (event) => {
      const box = area.getBoundingClientRect();
      const index = nearest(data.x, (event.clientX - box.left) / box.width);
      if (index !== at) show(index);
    });
    area.addEventListener("pointerleave", clear);
    area.addEventListener("blur", clear);
    area.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      show(Math.max(0, Math.min(data.x.length - 1, at < 0 ? data.x.length - 1 : at + step)));
    });
  };

  // ---- Copy buttons

  const copy = async (button) => {
    let words = "copied";
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      words = copyBySelection(button.dataset.copy) ? "copied" : "not allowed";
    }
    button.dataset.copied = words;
    document.querySelector("[data-announce]")?.replaceChildren(words);
    setTimeout(() => delete button.dataset.copied, 1400);
  };

  // Without https the clipboard interface is missing, and a team's server on a plain address is common.
  const copyBySelection = (text) => {
    const box = make("textarea", "visually-hidden");
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    return done;
  };

  // ---- Keys

  const moveRow = (step) => {
    const rows = [...document.querySelectorAll("table[data-rows] tbody tr")];
    if (!rows.length) return;
    const current = rows.indexOf(document.activeElement?.closest("tr"));
    const next = current < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, current + step));
    rowTarget(rows[next]).focus({ focusVisible: true });
    rows[next].scrollIntoView({ block: "nearest" });
  };

  const help = () => document.querySelector("dialog[data-help]");
  const keys = {
    "/": () => document.querySelector("[data-jump]")?.focus(),
    j: () => moveRow(1),
    k: () => moveRow(-1),
    t: toggleTheme,
    "?": () => help()?.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && typing(event.target)) return event.target.blur();
    if (typing(event.target) || help()?.open || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-theme-toggle], [data-help-open]");
    if (!button) return;
    if (button.dataset.copy !== undefined) copy(button);
    else if (button.dataset.themeToggle !== undefined) toggleTheme();
    else help()?.showModal();
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit();
  });

  document.addEventListener("DOMContentLoaded", () => {
    for (const node of document.querySelectorAll("[data-live]")) pristine.set(node, node.outerHTML);
    enhanceCharts(document);
    startLive();
  });
})();

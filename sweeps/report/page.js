"use strict";
// Without this script the page is whole. With it tables sort, filters act on tables and pictures alike, whatever stands
// for the same model or strategy lights up together, and the address holds the view.
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const byId = (id) => document.getElementById(id);
  const [form, box, said] = [byId("filters"), byId("tip"), byId("said")];
  const known = new Map(Object.entries(JSON.parse(form.dataset.known))); // model -> [group, pools]
  const fields = [...form.elements].filter((field) => field.name && field.type !== "button");
  const chip = form.elements.model;
  const sorted = new Map(); // id of a table -> [column, down]
  let [pinned, anchor, lit] = ["", "", []];

  // What stands for something: the rows of tables and the marks of pictures ------------------------------------------
  const kinds = ["model", "strategy", "task", "budget"];
  const things = [];
  const links = new Map(); // "model:name" -> elements
  const link = (kind, value, element) => {
    if (!value) return;
    const key = `${kind}:${value}`;
    links.has(key) ? links.get(key).push(element) : links.set(key, [element]);
  };
  const add = (element, told, text) => {
    things.push({ element, ...told, text: text.toLowerCase(), free: !element.closest("#answer") });
    element.told = told;
  };
  all("table.sortable").forEach((table) => {
    const columns = [...table.tHead.rows[0].cells].map((cell, at) => [cell.dataset.kind, at]).filter(([kind]) => kind);
    [...table.tBodies[0].rows].forEach((row, place) => {
      const told = {};
      columns.forEach(([kind, at]) => {
        const value = row.cells[at].textContent;
        if (kind === "model" && !known.has(value)) return; // a list of models, or none
        told[kind] ??= value;
        if (kind === "model") link(kind, value, row);
      });
      if (!told.model) link("strategy", told.strategy, row);
      row.tabIndex = place ? -1 : 0;
      add(row, told, row.textContent);
    });
  });
  all("svg").forEach((svg) => {
    svg.marks = all(":is(use, path, text):is(:has(> title), [data-model], [data-strategy])", svg);
    svg.marks.forEach((mark) => {
      const title = mark.querySelector("title");
      mark.tip = title ? title.textContent : "";
      title?.remove(); // else the browser shows a second tip
      const told = Object.fromEntries(kinds.map((kind) => [kind, mark.dataset[kind]]));
      told.model ? link("model", told.model, mark) : link("strategy", told.strategy, mark);
      add(mark, told, [mark.tip, told.model, told.strategy, told.task].join(" "));
    });
  });

  // Filters ----------------------------------------------------------------------------------------------------------
  const chosen = () => Object.fromEntries(fields.map((field) => [field.name, field.value.trim()]));
  const passes = (thing, want) => {
    const facts = known.get(thing.model);
    return !((want.strategy && thing.strategy && thing.strategy !== want.strategy) ||
      (want.budget && thing.budget && thing.budget !== want.budget) ||
      (want.group && facts && facts[0] !== want.group) ||
      (want.pool && facts && !facts[1].includes(want.pool)) ||
      (want.text && !thing.text.includes(want.text.toLowerCase())));
  };
  const apply = () => {
    const want = chosen();
    const active = Object.entries(want).filter(([, value]) => value);
    const rows = [0, 0];
    things.filter((thing) => thing.free).forEach((thing) => {
      const shown = passes(thing, want);
      if (thing.element.localName !== "tr") return void thing.element.classList.toggle("out", !shown);
      thing.element.hidden = !shown;
      rows[0] += shown;
      rows[1] += 1;
    });
    all("main > section").forEach((section) => choosePool(section, want.pool));
    chip.hidden = !pinned;
    chip.textContent = `${pinned} \u00d7`;
    chip.ariaLabel = `No longer mark ${pinned}`;
    byId("view").textContent = active.length
      ? `Shown: ${active.map(([name, value]) => `${name} ${value}`).join(", ")}; ${rows[0]} of ${rows[1]} rows. The answer stays.` : "";
    write();
  };
  const choosePool = (section, pool) => {
    const parts = all("[data-pool]", section).map((part) => part.closest("details, figure, .scroll"));
    const there = parts.filter((part) => poolOf(part) === pool);
    parts.forEach((part) => {
      part.hidden = Boolean(pool && there.length && poolOf(part) !== pool);
      if (part.localName === "details" && !part.hidden && pool && !part.open) part.open = part.chosen = true;
      if (part.chosen && (!pool || part.hidden)) part.open = part.chosen = false;
    });
  };
  const poolOf = (part) => part.dataset.pool ?? part.querySelector("[data-pool]").dataset.pool;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    pinned = "";
    light({});
    apply();
  }));
  chip.addEventListener("click", () => pin(pinned));

  // The same model everywhere ----------------------------------------------------------------------------------------
  const light = (told) => {
    const kind = told.model ? "model" : told.strategy ? "strategy" : pinned ? "model" : "";
    const value = told.model || told.strategy || pinned;
    lit.forEach((element) => element.classList.remove("on"));
    lit = links.get(`${kind}:${value}`) ?? [];
    lit.forEach((element) => element.classList.add("on"));
    document.body.dataset.lit = lit.length > 1 ? kind : "";
  };
  const pin = (model) => {
    pinned = model === pinned ? "" : model;
    light({});
    apply();
  };
  const show = (mark) => {
    light(mark.told);
    box.textContent = mark.tip;
    box.hidden = !mark.tip;
    if (!mark.tip) return;
    const [at, size] = [mark.getBoundingClientRect(), box.getBoundingClientRect()];
    const left = Math.min(Math.max(8, at.x + at.width / 2 - size.width / 2), document.documentElement.clientWidth - size.width - 8);
    box.style.left = `${left}px`;
    box.style.top = `${at.y > size.height + 16 ? at.y - size.height - 10 : at.bottom + 10}px`;
  };
  const hide = () => {
    box.hidden = true;
    light({});
  };
  const nearest = (svg, event) => {
    svg.places ??= svg.marks.map((mark) => {
      const { x, y, width, height } = mark.getBBox();
      return [x + width / 2, y + height / 2, width / 2, height / 2, mark];
    });
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let [found, least] = [null, 12];
    svg.places.forEach(([across, up, wide, high, mark]) => {
      if (mark.classList.contains("out") || (!mark.tip && !mark.told.model)) return;
      const apart = Math.hypot(Math.max(0, Math.abs(x - across) - wide), Math.max(0, Math.abs(y - up) - high))
        + 0.01 * Math.hypot(x - across, y - up) // of two that are touched, the one whose middle is nearer
        + (mark.tip ? 0 : 6);
      if (apart < least) [found, least] = [mark, apart];
    });
    return found;
  };
  all("svg").forEach((svg) => {
    ["pointermove", "pointerdown"].forEach((kind) => svg.addEventListener(kind, (event) => {
      const mark = nearest(svg, event);
      mark ? show(mark) : hide();
    }));
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("click", (event) => {
      const model = nearest(svg, event)?.told.model;
      if (model) pin(model);
    });
    const figure = svg.closest("figure");
    figure.addEventListener("blur", hide);
    figure.addEventListener("keydown", (event) => {
      const marks = svg.marks.filter((mark) => mark.tip && !mark.classList.contains("out"));
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (event.key === "Enter" && marks[svg.at]?.told.model) pin(marks[svg.at].told.model);
      if (!step || !marks.length) return;
      event.preventDefault();
      svg.at = ((svg.at ?? (step > 0 ? -1 : 0)) + step + marks.length) % marks.length;
      marks[svg.at].scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" });
      show(marks[svg.at]);
      said.textContent = marks[svg.at].tip;
    });
  });
  all("table.sortable tbody").forEach((body) => {
    const rowOf = (event) => event.target.closest("tr");
    body.addEventListener("pointerover", (event) => light(rowOf(event).told));
    body.addEventListener("pointerleave", () => light({}));
    body.addEventListener("focusin", (event) => light(rowOf(event).told));
    body.addEventListener("focusout", () => light({}));
    body.addEventListener("click", (event) => {
      if (getSelection().isCollapsed && rowOf(event).told.model) pin(rowOf(event).told.model);
    });
    body.addEventListener("keydown", (event) => {
      const rows = [...body.rows].filter((row) => !row.hidden);
      const at = rows.indexOf(rowOf(event));
      const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
      if (event.key === "Enter" && rows[at].told.model) pin(rows[at].told.model);
      if (!rows[to]) return;
      event.preventDefault();
      [rows[at].tabIndex, rows[to].tabIndex] = [-1, 0];
      rows[to].focus();
    });
  });

  // Sorting ----------------------------------------------------------------------------------------------------------
  const sort = (table, column, down) => {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading) => heading.removeAttribute("aria-sort"));
    headings[column].setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const numeric = headings[column].classList.contains("number");
    const key = ({ cells }) => cells[column].dataset.key ?? cells[column].textContent;
    const compare = ([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === ""); // what is missing stays at the end
      const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
      return down ? -order : order;
    };
    body.append(...[...body.rows].map((row) => [key(row), row]).sort(compare).map(([, row]) => row));
    sorted.set(table.id, [column, down]);
  };
  all("table.sortable").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = heading.querySelector("button");
      button.disabled = false;
      button.addEventListener("click", () => {
        sort(table, column, heading.getAttribute("aria-sort") === "ascending");
        write();
      });
    });
  });

  // The address: #section?pool=...&sort=table:column:down ------------------------------------------------------------
  const write = () => {
    const view = new URLSearchParams(Object.entries({ ...chosen(), model: pinned }).filter(([, value]) => value));
    sorted.forEach(([column, down], id) => view.append("sort", `${id}:${column}${down ? ":down" : ""}`));
    const place = `#${anchor}${view.size ? `?${view}` : ""}`;
    history.replaceState(null, "", place === "#" ? location.pathname + location.search : place);
  };
  const read = () => {
    const [place, query] = location.hash.slice(1).split("?");
    anchor = place;
    if (query !== undefined) {
      const view = new URLSearchParams(query);
      fields.forEach((field) => (field.value = view.get(field.name) ?? ""));
      pinned = known.has(view.get("model")) ? view.get("model") : "";
      view.getAll("sort").forEach((wanted) => {
        const [id, column, down] = wanted.split(":");
        const table = byId(id);
        if (!table?.matches("table.sortable") || !table.tHead.rows[0].cells[column]) return;
        if (table.closest("details")) table.closest("details").open = true;
        sort(table, Number(column), down === "down");
      });
    }
    light({});
    apply();
    if (query !== undefined && place) byId(place)?.scrollIntoView();
  };
  addEventListener("hashchange", read);

  // Light and dark ---------------------------------------------------------------------------------------------------
  const theme = byId("theme");
  const store = (act) => {
    try {
      return act(localStorage);
    } catch {
      return null; // a browser may keep nothing for a file
    }
  };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    const kept = store((kept) => kept.getItem("sweeps-theme"));
    if (kept) document.documentElement.dataset.theme = kept; // without, the style sheet follows the system
    theme.setAttribute("aria-pressed", kept ? kept === "dark" : system.matches);
  };
  system.addEventListener("change", paint);
  theme.addEventListener("click", () => {
    const next = theme.getAttribute("aria-pressed") === "true" ? "light" : "dark";
    store((kept) => kept.setItem("sweeps-theme", next));
    paint();
    document.documentElement.dataset.theme = next; // even where nothing can be kept
    theme.setAttribute("aria-pressed", next === "dark");
  });

  paint();
  theme.hidden = form.hidden = false;
  read();
})();

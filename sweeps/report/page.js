// Tables sort by the column whose heading is clicked; folded parts open for printing, but for long tables.
document.querySelectorAll("table.sortable").forEach((table) => {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const body = table.tBodies[0];
      const numeric = heading.classList.contains("number");
      const key = (row) => row.cells[column].dataset.key;
      const compare = (one, two) => {
        const [a, b] = [key(one), key(two)];
        if (a === "" || b === "") return (a === "") - (b === ""); // what is missing stays at the end
        const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
});

addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open]):not(.long)").forEach((part) => {
    part.open = true;
    part.dataset.closed = "";
  });
});
addEventListener("afterprint", () => {
  document.querySelectorAll("details[data-closed]").forEach((part) => {
    part.open = false;
    delete part.dataset.closed;
  });
});

// The table of the Batch tab. In the page's head, after picker.js.
(() => {
  const { studio } = window;
  const { node, say } = studio;
  const COLUMNS = ["preview", "name", "source", "state", "action"];
  const ROLES = { name: "rowheader" };
  const BUSY = ["running", "uploading"];

  // Draws rows into a table and later only what has changed of them, so that no focus is lost.
  // A row: {id, name, facts, state, percent, error, warnings, url, output, preview, thumbnail,
  // source, choices: [[value, text]]}; on: {remove(id), retry(id), choose(id, value)}.
  studio.batchRows = (table, on) => {
    const body = table.tBodies[0];
    let drawn = []; // for each row: its element, and for each cell its element and content's key

    function draw(rows) {
      drawHead();
      while (drawn.length > rows.length) drawn.pop().element.remove();
      rows.forEach((row, index) => {
        if (!drawn[index]) drawn.push(makeRow());
        for (const column of COLUMNS) fill(drawn[index].cells[column], column, row);
      });
    }

    function drawHead() {
      const head = table.tHead.rows[0];
      table.caption.textContent = say("batch_list");
      if (head.dataset.language === studio.language) return;
      head.dataset.language = studio.language;
      head.replaceChildren(...COLUMNS.map((column) => node("th", {
        role: "columnheader", scope: "col", class: `ff-b-c-${column}`, text: say(`batch_column_${column}`),
      })));
    }

    function makeRow() {
      const element = node("tr", { role: "row" });
      const cells = {};
      for (const column of COLUMNS) {
        const role = ROLES[column] ?? "cell";
        const scope = role === "rowheader" ? "row" : null;
        const cell = node(scope ? "th" : "td", { role, scope, class: `ff-b-c-${column}` });
        cells[column] = { cell, key: "" };
        element.append(cell);
      }
      body.append(element);
      return { element, cells };
    }

    function fill(drawnCell, column, row) {
      const { key, make } = CONTENT[column](row, on);
      const full = JSON.stringify([studio.language, row.id, key]);
      if (drawnCell.key === full) return;
      drawnCell.key = full;
      drawnCell.cell.replaceChildren(...make().filter(Boolean));
    }

    return {
      draw,
      clear() {
        drawn = [];
        body.replaceChildren();
      },
      focus(index) {
        const at = drawn[Math.min(index, drawn.length - 1)];
        at?.element.querySelector(".ff-b-c-action button")?.focus();
      },
    };
  };

  const CONTENT = {
    preview: (row) => ({
      key: [row.thumbnail, row.preview, row.name],
      make: () => [row.thumbnail && node("a", { class: "ff-b-preview", href: row.preview, target: "_blank" },
        node("img", { src: row.thumbnail, alt: say("batch_file_preview", { name: row.name }), loading: "lazy" }))],
    }),
    name: (row) => ({
      key: [row.name, row.facts, row.warnings?.length],
      make: () => [
        node("span", { text: row.name }),
        row.facts && node("p", { class: "ff-b-detail", text: row.facts }),
        row.warnings?.length > 0 && notes(row.warnings),
      ],
    }),
    source: (row, on) => ({
      key: [row.source, row.choices],
      make: () => [row.choices.length > 1 ? choice(row, on) : node("span", {
        class: "ff-b-name", text: row.choices[0]?.[1] ?? row.source, title: row.choices[0]?.[1] ?? row.source,
      })],
    }),
    state: (row) => ({
      key: [row.state, row.percent, row.stage, row.error],
      make: () => state(row),
    }),
    action: (row, on) => ({
      key: [row.state, row.url],
      make: () => [action(row, on)],
    }),
  };

  // Settings in a line: the most important, and what is not as it starts.
  studio.settingsLine = (controls) => {
    const known = (...keys) => keys.find((key) => studio.data.texts[key]);
    const worded = (name, value) => {
      if (value === null) return say("controls_automatic");
      if (typeof value === "boolean") return say(value ? "batch_on" : "batch_off");
      if (typeof value === "number") return String(Math.round(100 * value) / 100);
      const key = known(`controls_${name}_${value}`, `controls_${value}`);
      return key ? say(key) : value;
    };
    const first = ["ratio", "resolution"];
    const { defaults } = studio.data;
    const changed = Object.keys(defaults).filter((name) => !first.includes(name) && controls[name] !== defaults[name]);
    return [...first, ...changed]
      .map((name) => `${say(known(`controls_${name}`) ?? name)} ${worded(name, controls[name])}`)
      .join(" · ");
  };

  function notes(warnings) {
    return node("details", { class: "ff-b-detail" },
      node("summary", { text: say("batch_warnings", { count: warnings.length }) }),
      node("ul", {}, ...warnings.map((text) => node("li", { text: studio.pick(text) }))));
  }

  function choice(row, on) {
    const made = node("select", {
      class: "ff-select", "aria-label": say("batch_source_of", { name: row.name }),
      onchange: () => on.choose(row.id, made.value),
    }, ...row.choices.map(([value, text]) => node("option", { value, text, selected: value === row.source })));
    return made;
  }

  function state(row) {
    const stage = row.state === "running" && row.stage ? say(`stage_${row.stage}`) : null;
    const text = stage ?? say(`batch_state_${row.state}`, { percent: row.percent });
    const bar = BUSY.includes(row.state) && node("div", {
      class: "ff-b-bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100",
      "aria-valuenow": String(row.percent), "aria-label": say("batch_file_progress", { name: row.name }),
    }, node("span", { style: `width:${row.percent}%` }));
    return [
      node("span", { class: "ff-b-state", "data-state": row.state, text }),
      bar,
      row.error && node("p", { class: "ff-b-detail ff-b-bad", text: studio.pick(row.error.text) }),
      row.error?.advice && node("p", { class: "ff-b-detail", text: studio.pick(row.error.advice) }),
    ];
  }

  function action(row, on) {
    const { name } = row;
    if (row.url) {
      const label = say("batch_file_download_name", { name });
      return node("a", {
        class: "ff-button ff-small", href: row.url, download: row.output, "aria-label": label,
        text: say("batch_file_download"),
      });
    }
    if (row.fixed) return null;
    const retry = row.state === "refused" && node("button", {
      type: "button", class: "ff-tool ff-icon", text: "↻", title: say("batch_file_retry", { name }),
      "aria-label": say("batch_file_retry", { name }), onclick: () => on.retry(row.id),
    });
    const label = say("batch_file_remove", { name });
    const remove = node("button", {
      type: "button", class: "ff-tool ff-icon", text: "✕", title: label, "aria-label": label,
      onclick: () => on.remove(row.id),
    });
    return node("span", {}, ...[retry, remove].filter(Boolean));
  }
})();

// The Batch tab: many photographs with one source or one each, their progress, their results.
const { studio } = window;
const { node, say } = studio;
const part = (name) => element.querySelector(`.ff-b-${name}`);
const root = element.querySelector(".ff-b");
const MOST_SOURCES = 50;
const PAUSE_MS = 1000;

// While there is a batch, the rows that the server tells are shown, else the targets.
let sources = []; // {key, photo, slot, order}
let batch = null;
let faces = studio.store.get("batch-faces", "largest");
let numbers = 0; // of slots given out
let coming = 0; // sources on their way
let sure = false; // Clear was pressed once
let stopping = false;
let drawing = 0;

const targets = studio.batchTargets({
  changed: drawSoon, tell: (error) => tell("targets", error), sources: () => sources,
});
const table = studio.batchRows(part("rows"), { remove: removeRow, retry: targets.retry, choose: chooseSource });

// --- sources ---

async function takeSources(files) {
  tell("sources", null);
  if (sources.length + coming + files.length > MOST_SOURCES) {
    return tell("sources", { text: studio.both("batch_sources_too_many", { limit: MOST_SOURCES }) });
  }
  await Promise.all(files.map(bringSource));
}

async function bringSource(file) {
  const order = ++numbers;
  const slot = `source:batch-${order}`;
  coming += 1;
  try {
    const photo = await studio.bring(slot, { file }, (percent) => {
      part("sources-busy").textContent = percent === null ? say("looking") : say("uploading", { percent });
    });
    if (photo?.faces.length > 0) addSource({ key: slot, photo, slot, order });
    else if (photo) tell("sources", { text: photo.message });
  } catch (error) {
    tell("sources", error);
  }
  coming -= 1;
  if (coming === 0) part("sources-busy").textContent = "";
  draw();
}

// In the order in which they were chosen, whichever is here first.
function addSource(source) {
  sources.push(source);
  sources.sort((one, other) => one.order - other.order);
}

// Sources of the Fuse tab that are none of the batch.
function fromFuse() {
  const known = new Set(sources.map(({ photo }) => photo.id));
  return studio.state.sources.filter((photo) => photo.faces.length > 0 && !known.has(photo.id));
}

function takeFromFuse() {
  for (const photo of fromFuse()) addSource({ key: photo.id, photo, slot: null, order: ++numbers });
  draw();
}

function removeSource(source) {
  if (source.slot) studio.forgetBringing(source.slot);
  sources = sources.filter((one) => one !== source);
  targets.forgetSource(source.key);
  draw();
  part("sources-add").focus();
}

function chooseSource(id, key) {
  targets.choose(id, key);
  draw();
}

// --- targets ---

function removeRow(id) {
  const index = targets.rows.indexOf(targets.find(id));
  targets.rows.splice(index, 1);
  draw();
  if (targets.rows.length > 0) table.focus(index);
  else part("files").focus();
}

// --- the batch ---

function lacking() {
  if (targets.rows.length === 0) return "batch_missing_targets";
  return sources.length === 0 ? "batch_missing_sources" : "";
}

function canStart() {
  return !batch && !lacking() && !targets.rows.some(targets.isComing) && targets.ready().length > 0;
}

async function start() {
  if (!canStart()) return;
  const places = new Map(sources.map((source, place) => [source.key, place]));
  tell("", null);
  part("start").disabled = true;
  try {
    const answer = await studio.call("batch_start", {
      items: targets.ready().map(({ upload, source }) => ({
        path: upload.path,
        name: upload.name,
        sources: source === targets.all ? [...places.values()] : [places.get(source)],
      })),
      sources: sources.map(({ photo }) => ({ id: photo.id, name: photo.name })),
      controls: studio.state.controls,
      faces,
    });
    show(answer);
    part("cancel").focus();
  } catch (error) {
    tell("", error);
    draw();
  }
}

// Shows a batch and follows it to its end.
async function show(view) {
  batch = { ...view, files: view.items.map((item, index) => ({ ...item, ...view.files[index] })) };
  stopping = sure = false;
  tell("", batch.problem);
  table.clear();
  draw();
  const { id } = batch;
  let lost = 0;
  while (batch?.id === id && !batch.over) {
    try {
      take(id, await studio.call("batch_follow", { id, seen: batch.seen }));
      lost = 0;
    } catch (error) {
      if (error.code !== "unreachable" || ++lost > 5) return tell("", error);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

function take(id, news) {
  if (batch?.id !== id) return;
  if (news.gone) return find();
  const { files, ...rest } = news;
  Object.assign(batch, rest);
  for (const [index, file] of Object.entries(files)) Object.assign(batch.files[index], file);
  if (batch.over) stopping = false;
  if (batch.problem && batch.over) tell("", batch.problem);
  draw();
  if (batch.over && document.activeElement === document.body) part("download").focus();
}

// The visitor's batch: this page may have been opened anew, or another one has started it.
async function find() {
  try {
    const answer = await studio.call("batch_state");
    targets.limit = answer.limit;
    if (answer.batch) return show(answer.batch);
    forget();
  } catch (error) {
    tell("", error);
  }
}

function cancel() {
  if (!batch || batch.over || stopping) return;
  stopping = true;
  draw();
  studio.call("batch_cancel").catch((error) => tell("", error));
}

// Back to what was put together, to be started with other settings; the results stay till then.
function again() {
  forget();
  part("start").focus();
}

function clear() {
  if (batch && !sure) {
    sure = true; // the results cannot be had again
    return draw();
  }
  if (batch) studio.call("batch_clear").catch((error) => tell("", error));
  targets.clear();
  for (const name of ["sources", "targets"]) tell(name, null);
  forget();
  part("files").focus();
}

function forget() {
  batch = null;
  sure = false;
  tell("", null);
  table.clear();
  draw();
}

// --- drawing ---

function tell(name, error) {
  const place = part(name ? `${name}-alert` : "alert");
  place.replaceChildren();
  if (!error) return;
  place.append(node("p", { text: studio.pick(error.text) }));
  if (error.advice) place.append(node("p", { text: studio.pick(error.advice) }));
}

function drawSoon() {
  drawing ||= requestAnimationFrame(draw);
}

function draw() {
  cancelAnimationFrame(drawing);
  drawing = 0;
  root.dataset.mode = batch ? "batch" : "prepare";
  drawTexts();
  drawInputs();
  drawSettings();
  drawActions();
  drawProgress();
  const shown = batch ? batch.files.map(fileView) : targets.rows.map(rowView);
  part("list").hidden = shown.length === 0;
  part("empty").hidden = shown.length > 0;
  table.draw(shown);
}

function drawTexts() {
  for (const at of element.querySelectorAll("[data-say]")) at.textContent = say(at.dataset.say);
  part("limit").textContent = say("batch_limit", { limit: targets.limit, size: studio.data.max_upload_mb });
  for (const button of part("faces").children) {
    button.setAttribute("aria-checked", String(button.dataset.faces === faces));
    button.tabIndex = button.dataset.faces === faces ? 0 : -1;
  }
  part("bar").setAttribute("aria-label", say("batch_progress"));
}

function drawInputs() {
  const { rows, unpacking, pairs, leftOut } = targets;
  const busy = unpacking?.percent === null ? "batch_unpacking" : "batch_uploading_zip";
  part("targets-busy").textContent = unpacking ? say(busy, unpacking) : "";
  part("pairs").textContent = pairs ? say("batch_pairs_set", pairs) : "";
  part("sources-fuse").hidden = fromFuse().length === 0;
  part("table").disabled = rows.length === 0 || sources.length === 0;
  part("left-out").hidden = leftOut.count === 0;
  part("left-out").querySelector("summary").textContent = say("batch_left_out", leftOut);
  part("left-out").querySelector("ul").replaceChildren(
    ...leftOut.texts.map((text) => node("li", { text: studio.pick(text) })));
  const people = sources.map(({ key }) => key).join();
  if (part("people").dataset.keys === people + studio.language) return;
  part("people").dataset.keys = people + studio.language;
  part("people").replaceChildren(...sources.map(person));
}

function person(source, index) {
  const label = say("remove_name", { name: source.photo.name });
  return node("li", { class: "ff-b-person" },
    node("span", { class: "ff-b-number", text: String(index + 1) }),
    studio.faceThumb(source.photo, 0),
    node("span", { class: "ff-b-name", text: source.photo.name, title: source.photo.name }),
    node("button", {
      type: "button", class: "ff-tool ff-icon", text: "✕", title: label, "aria-label": label,
      onclick: () => removeSource(source),
    }));
}

function choices() {
  const each = sources.map(({ key, photo }, index) => [key, `${index + 1} · ${photo.name}`]);
  return sources.length > 1 ? [[targets.all, say("batch_source_all")], ...each] : sources.map(({ key, photo }) => [key, photo.name]);
}

function drawSettings() {
  const { rows } = targets;
  part("settings").textContent = studio.settingsLine(batch?.controls ?? studio.state.controls);
  part("faces-fixed").textContent = say(`batch_faces_${batch?.faces ?? faces}`);
  const select = part("for-all").querySelector("select");
  part("for-all").hidden = Boolean(batch) || sources.length < 2 || rows.length === 0;
  if (part("for-all").hidden || select === document.activeElement) return;
  const used = new Set(rows.map((row) => row.source));
  const mixed = used.size > 1 ? [["", say("batch_source_differs")]] : [];
  select.replaceChildren(...[...mixed, ...choices()].map(([value, text]) => node("option", { value, text })));
  select.value = used.size > 1 ? "" : [...used][0];
}

function drawActions() {
  const { rows } = targets;
  const shown = {
    start: !batch,
    download: Boolean(batch?.archive),
    cancel: Boolean(batch) && !batch.over && batch.state !== "packing",
    again: Boolean(batch?.over) && rows.length > 0,
    clear: batch ? batch.over : rows.length > 0,
  };
  for (const [name, visible] of Object.entries(shown)) part(name).hidden = !visible;
  part("start").textContent = rows.length > 1 ? say("batch_start_count", { count: rows.length }) : say("batch_start");
  part("start").title = say("start_keys");
  part("start").disabled = !canStart();
  part("cancel").textContent = stopping ? say("batch_stopping") : say("batch_cancel");
  part("cancel").disabled = stopping;
  part("again").textContent = say("batch_again");
  part("clear").textContent = say(sure ? "batch_clear_sure" : "batch_clear");
  part("clear").classList.toggle("ff-danger", sure);
  if (!batch?.archive) return;
  part("download").href = batch.archive.url;
  part("download").textContent = say("batch_download", { size: studio.bytes(batch.archive.bytes) });
}

function drawProgress() {
  const summary = batch ? batchSummary() : readiness();
  if (part("summary").textContent !== summary) part("summary").textContent = summary; // it is read out
  part("progress").hidden = !batch || batch.over;
  part("kept").textContent = !batch ? "" : say(batch.over ? "batch_kept" : "batch_goes_on", { hours: studio.data.keep_hours });
  if (!batch || batch.over) return;
  const packing = batch.state === "packing";
  const parts = batch.files.map((file) => (file.state === "waiting" ? 0 : file.state === "running" ? file.fraction : 1));
  const percent = 100 * (packing ? batch.packed : parts.reduce((sum, one) => sum + one, 0) / parts.length);
  part("bar").setAttribute("aria-valuenow", String(Math.round(percent)));
  part("bar").firstElementChild.style.width = `${percent}%`;
  part("left").textContent = packing || batch.remaining === null
    ? "" : say("batch_left", { time: studio.seconds(batch.remaining) });
}

function readiness() {
  const { rows } = targets;
  if (lacking()) return say(lacking());
  const done = rows.filter((row) => !targets.isComing(row)).length;
  if (done < rows.length) return say("batch_missing_uploads", { done, count: rows.length });
  const ready = targets.ready().length;
  return say(ready === 1 ? "batch_ready_one" : "batch_ready", { count: ready });
}

function batchSummary() {
  const { counts, state } = batch;
  const parts = [say("batch_done_of", { done: counts.done, count: batch.files.length })];
  if (counts.failed > 0) parts.push(say("batch_failed_count", { count: counts.failed }));
  if (counts.skipped > 0) parts.push(say("batch_skipped_count", { count: counts.skipped }));
  const end = batch.over ? `${say(`batch_over_${state}`)} ` : state === "packing" ? `${say("batch_packing")} ` : "";
  return end + parts.join(studio.language === "zh" ? "，" : ", ");
}

function rowView({ id, upload, source }) {
  const state = upload.path ? "added" : upload.problem ? "refused" : upload.percent === null ? "queued" : "uploading";
  return {
    id, state, choices: choices(), source: sources.length > 1 ? source : "", name: upload.name,
    percent: upload.percent, error: upload.problem, facts: studio.bytes(upload.bytes),
  };
}

function fileView(file, index) {
  const facts = file.size ? [studio.pixels(...file.size), studio.bytes(file.bytes), studio.seconds(file.seconds)] : [];
  return {
    ...file, id: index, fixed: true, percent: Math.round(100 * file.fraction), choices: [], facts: facts.join(" · "),
  };
}

// --- what is pressed, dropped, chosen ---

function chooseFaces(name) {
  faces = name;
  studio.store.set("batch-faces", name);
  draw();
  part("faces").querySelector(`[data-faces=${name}]`).focus();
}

function stepFaces(event) {
  if (!event.key.startsWith("Arrow")) return;
  event.preventDefault();
  chooseFaces(faces === "all" ? "largest" : "all");
}

const picker = (values, takeFiles) => studio.filePicker(root, values, takeFiles);
const named = (files) => files.map((file) => ({ file, name: file.webkitRelativePath || file.name }));
const pickTargets = (files) => targets.take(named(files));
const pickFolder = (files) => targets.take(named(files).sort(studio.byName));
const presses = {
  "sources-add": picker({ accept: studio.pictureTypes, multiple: true, "aria-label": say("batch_sources_add") }, takeSources),
  "sources-fuse": takeFromFuse,
  files: picker({ accept: studio.pictureTypes, multiple: true, "aria-label": say("batch_files") }, pickTargets),
  folder: picker({ webkitdirectory: true, "aria-label": say("batch_folder") }, pickFolder),
  zip: picker({ accept: ".zip,application/zip", multiple: true, "aria-label": say("batch_zip") }, pickTargets),
  table: picker({ accept: ".csv,.tsv,text/csv", "aria-label": say("batch_table") }, pickTargets),
  change: () => studio.show("fuse"),
  start, cancel, again, clear,
};
for (const [name, press] of Object.entries(presses)) part(name).addEventListener("click", press);
for (const button of part("faces").children) {
  button.addEventListener("click", () => chooseFaces(button.dataset.faces));
  button.addEventListener("keydown", stepFaces);
}
part("for-all").querySelector("select").addEventListener("change", (event) => {
  if (event.target.value) chooseSource(null, event.target.value);
});
studio.dropZone(part("targets"), async ({ items }) => targets.take(await studio.droppedFiles(items)));
studio.dropZone(part("sources"), ({ files }) => takeSources([...files]));

const isShown = () => document.documentElement.dataset.tab === "batch";
studio.on("start", () => isShown() && start());
studio.on("escape", () => isShown() && cancel());
for (const event of ["language", "sources", "controls"]) studio.on(event, draw);
studio.on("tab", (name) => name === "batch" && !batch && targets.rows.length === 0 && find());
draw();
find();
studio.ready("batch");

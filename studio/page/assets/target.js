// The target: one photograph, whose faces are chosen by clicking them.
const { studio } = window;
const { state } = studio;
const part = (name) => element.querySelector(`.ff-${name}`);
const picker = part("picker");
const SLOT = "target";
let busy = null; // null, "looking" or percent sent
let problem = null;

const intake = studio.intake(picker, { several: false, take, title: "target_title" });

async function take(files, refusal) {
  if (refusal) return complain(refusal);
  if (files.length > 1) return complain({ text: studio.both("one_file") });
  if (files[0]) await bring({ file: files[0] });
}

async function bring(source) {
  problem = null;
  let photo;
  try {
    photo = await studio.bring(SLOT, source, (percent) => {
      busy = percent ?? "looking";
      draw();
    });
  } catch (error) {
    busy = null;
    return complain(error);
  }
  if (photo === null) return; // a newer one is on its way
  busy = null;
  put(photo, source.photo ? state.chosen : null);
}

function put(photo, chosen) {
  state.target = photo;
  const known = (chosen ?? []).filter((index) => index < photo.faces.length);
  state.chosen = known.length > 0 ? known : photo.faces.length > 0 ? [0] : [];
  state.assign = {};
  draw();
  studio.emit("target", photo);
  studio.emit("faces");
}

function remove() {
  studio.forgetBringing(SLOT);
  busy = problem = state.target = null;
  state.chosen = [];
  state.assign = {};
  draw();
  studio.emit("target", null);
  studio.emit("faces");
}

function complain(error) {
  problem = error;
  draw();
}

function toggle(index) {
  const chosen = new Set(state.chosen);
  if (!chosen.delete(index)) chosen.add(index);
  state.chosen = [...chosen].sort((a, b) => a - b);
  draw();
  part("photo").querySelectorAll("button.ff-face")[index]?.focus();
  studio.emit("faces");
}

function toggleAll() {
  const all = state.target.faces.map((_, index) => index);
  state.chosen = state.chosen.length === all.length ? [] : all;
  draw();
  studio.emit("faces");
}

function draw() {
  const photo = state.target;
  const count = photo?.faces.length ?? 0;
  picker.dataset.state = busy !== null ? "busy" : photo ? "ready" : "empty";
  picker.setAttribute("aria-busy", String(busy !== null));
  part("title").textContent = studio.say("target_title");
  part("facts").textContent = photo ? `${photo.name} · ${studio.pixels(...photo.size)}` : "";
  part("facts").title = part("facts").textContent;
  part("prompt").textContent = studio.say("target_prompt");
  part("drop-how").textContent = studio.say("drop");
  part("formats").textContent = studio.say("formats", { limit: studio.data.max_upload_mb });
  for (const [name, key] of [["replace", "replace"], ["remove", "remove"], ["take", "camera"]]) {
    part(name).title = studio.say(key);
    part(name).setAttribute("aria-label", `${studio.say(key)}: ${studio.say("target_title")}`);
  }
  part("all").hidden = count < 2;
  part("all").textContent = studio.say(state.chosen.length === count ? "no_faces" : "all_faces");
  part("busy").textContent = busy === null ? "" : busy === "looking"
    ? studio.say("looking") : studio.say("uploading", { percent: busy });
  part("hint").textContent = photo && count > 1 ? studio.say("choose_targets") : "";
  part("alert").textContent = studio.pick(problem?.text ?? photo?.message);
  part("photo").replaceChildren();
  if (!photo) return;
  const group = studio.say("faces_found", { name: photo.name });
  part("photo").append(studio.photoFrame(photo, {
    alt: photo.name,
    group,
    faces: photo.faces.map((_, index) => ({
      label: String(index + 1),
      name: studio.say("face", { number: index + 1 }),
      pressed: state.chosen.includes(index),
      press: count > 1 ? () => toggle(index) : null,
    })),
  }));
}

part("drop").addEventListener("click", intake.choose);
part("replace").addEventListener("click", intake.choose);
part("take").addEventListener("click", intake.camera);
part("remove").addEventListener("click", remove);
part("all").addEventListener("click", toggleAll);
studio.on("language", draw);
studio.on("paste-target", take);
studio.on("clear", remove);
studio.on("put-target", (photo) => {
  busy = problem = null;
  put(photo, null);
});
studio.on("demo-begins", () => {
  studio.forgetBringing(SLOT);
  busy = "looking";
  problem = null;
  draw();
});
studio.on("demo-failed", (error) => {
  busy = null;
  complain(error);
});
// Another threshold finds other faces.
let looking;
studio.on("controls", (controls) => {
  if (!state.target || controls.threshold === state.target.threshold) return;
  clearTimeout(looking);
  looking = setTimeout(() => bring({ photo: state.target.id }), 400);
});
draw();
studio.ready("target");

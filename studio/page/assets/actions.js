// Start, cancel and clear; what the fusion does goes to the stage as the event "fusion".
const { studio } = window;
const { state } = studio;
const part = (name) => element.querySelector(`.ff-${name}`);
const PAUSE_MS = 1000; // before the server is asked again after it did not answer
let run = 0; // the newest fusion; answers to older ones are forgotten
let running = false;
let stopped = false; // before the server had the fusion that is to be stopped
let demo = Promise.resolve(); // the latest loading of the demo pair
let plan = null;

async function start() {
  const wish = studio.wish();
  if (running || !wish || part("start").disabled) return;
  const own = ++run;
  stopped = false;
  setRunning(true);
  studio.emit("fusion", { state: "busy", position: 0, stage: "", fraction: 0, stopping: false, remaining: null });
  try {
    await studio.cleared;
    await studio.call("start", { wish });
    if (stopped) await studio.call("cancel");
    await follow(own, JSON.stringify(wish));
  } catch (error) {
    if (own === run) studio.emit("fusion", { state: "error", ...error });
  }
  if (own === run) setRunning(false);
}

async function follow(own, wish) {
  let seen = "";
  let latest = { state: "busy", position: 0, stage: "", fraction: 0, stopping: false, remaining: null };
  let lost = 0;
  while (own === run) {
    let view;
    try {
      view = await studio.call("follow", { seen });
      lost = 0;
    } catch (error) {
      if (error.code !== "unreachable" || ++lost > 5) throw error;
      studio.emit("fusion", { ...latest, lost: true });
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      continue;
    }
    if (own !== run) return;
    if (view.state === "none") throw { code: "lost", text: studio.both("lost"), advice: null };
    seen = view.seen;
    latest = view;
    studio.emit("fusion", { ...view, wish });
    if (view.state === "done") studio.emit("result", view);
    if (view.state !== "busy") return;
  }
}

function setRunning(now) {
  const focused = part("start").contains(document.activeElement) || part("cancel").contains(document.activeElement);
  running = now;
  draw();
  if (focused) part(now ? "cancel" : "start").focus({ preventScroll: true });
}

function cancel() {
  stopped = true;
  if (running) studio.call("cancel").catch(() => {});
}

function clear() {
  run += 1;
  setRunning(false);
  plan = null;
  studio.cleared = studio.call("clear").catch(() => {});
  studio.emit("clear");
  studio.emit("fusion", { state: "empty" });
  part("clear").focus();
}

async function loadDemo() {
  cancel();
  const own = ++run;
  setRunning(false);
  studio.emit("fusion", { state: "empty" });
  studio.emit("demo-begins");
  try {
    await studio.cleared;
    await demo.catch(() => {}); // two at once would end each other
    if (own !== run) return;
    demo = studio.call("demo", { threshold: state.controls.threshold });
    const { target, source } = await demo;
    if (own !== run) return; // cleared meanwhile
    studio.emit("put-target", target);
    studio.emit("put-source", source);
    part("start").focus({ preventScroll: true });
  } catch (error) {
    if (own === run) studio.emit("demo-failed", error);
  }
}

function lacking() {
  if (!state.target) return "missing_target";
  if (!state.sources.some((photo) => photo.faces.length > 0)) return "missing_source";
  return state.chosen.length === 0 ? "missing_face" : "";
}

function expected() {
  const { low, high, seconds } = plan?.estimate ?? {};
  if (seconds === undefined) return "";
  if (high > 1.6 * low && high - low > 2) {
    return studio.say("takes_between", { low: studio.seconds(low), high: studio.seconds(high) });
  }
  return studio.say("takes", { time: studio.seconds(seconds) });
}

function draw() {
  const key = lacking();
  const problem = key ? "" : studio.pick(plan?.problem);
  part("start").textContent = studio.say("start");
  part("start").title = studio.say("start_keys");
  part("start").disabled = Boolean(key) || Boolean(problem);
  part("start").hidden = running;
  part("cancel").textContent = studio.say("cancel");
  part("cancel").hidden = !running;
  part("clear").textContent = studio.say("clear");
  part("takes").textContent = running ? "" : key ? studio.say(key) : problem || expected();
  part("takes").classList.toggle("ff-problem", Boolean(problem) && !running);
}

part("start").addEventListener("click", start);
part("cancel").addEventListener("click", cancel);
part("clear").addEventListener("click", clear);
const isShown = () => document.documentElement.dataset.tab === "fuse";
studio.on("start", () => isShown() && start());
studio.on("escape", () => isShown() && cancel());
studio.on("demo", loadDemo);
studio.on("plan", (answer) => {
  plan = answer;
  draw();
});
for (const event of ["language", "target", "sources", "faces"]) studio.on(event, draw);
draw();
studio.ready("actions");

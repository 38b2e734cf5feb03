// Two pictures, one of them real: which? The share that fools people is what losses cannot tell.
import { useEffect, useRef, useState } from "preact/hooks";
import {
  ask, at, Card, Choice, Failure, html, kimg, Loading, ofRun, percent, Picture, query, RunTabs, useAct, useAsk, whole,
} from "./parts.js";

const TIMES = [["", "No limit"], ["0.5", "½ s"], ["1", "1 s"], ["3", "3 s"]];
const SIDES = { ArrowLeft: "left", ArrowRight: "right" };
const MOST_CHECKPOINTS = 12;

const ofRating = (name, rest = "") => `api/rate/${encodeURIComponent(name)}${rest}`;

export function Rate({ name }) {
  const { data: run, error } = useAsk(ofRun(name));
  const result = useAsk(ofRating(name, "/result"));
  const [setup, begin] = useState(null);
  const head = html`<div class="head-row run-head"><h1>${name}</h1></div><${RunTabs} name=${name} page="rate" />`;
  if (!run) return html`${head}${error ? html`<${Failure}>${error}<//>` : html`<${Loading} what="Reading the run" />`}`;
  if (setup) {
    const done = () => {
      result.again();
      begin(null);
    };
    return html`${head}<${Rating} name=${name} setup=${setup} done=${done} />`;
  }
  return html`${head}
    <div class="rate-start">
      <${Setup} run=${run} begin=${begin} />
      <${Result} name=${name} asked=${result} />
    </div>`;
}

function Setup({ run, begin }) {
  const [rater, setRater] = useState("");
  const [seconds, setSeconds] = useState("");
  const [checkpoint, setCheckpoint] = useState("");
  const step = Math.ceil(run.grids.length / MOST_CHECKPOINTS);
  const grids = run.grids.filter((_, i) => (run.grids.length - 1 - i) % step === 0);
  if (!run.has_generator && !grids.length) {
    return html`<div class="empty"><h2>Nothing to judge yet</h2><p>This run has no samples so far.</p></div>`;
  }
  return html`
    <${Card} title="Can you tell them apart?">
      <p>You see two pictures. One is real, one is generated. Say which is real, as often as you like: after about 50 pairs the
        result begins to mean something.</p>
      <form onSubmit=${(event) => {
        event.preventDefault();
        begin({ rater: rater.trim(), seconds, checkpoint });
      }}>
        <div class="field"><label for="rater">Your name</label>
          <input id="rater" type="text" maxlength="40" placeholder="may stay empty" value=${rater}
            onInput=${(event) => setRater(event.target.value)} /></div>
        <div class="field"><span>Time to look</span>
          <${Choice} label="Time to look" options=${TIMES} value=${seconds} onChoose=${setSeconds} /></div>
        <div class="field"><label for="checkpoint">Generated at</label>
          <select id="checkpoint" value=${checkpoint} onChange=${(event) => setCheckpoint(event.target.value)}>
            <option value="">the newest weights</option>
            ${run.metrics.length > 0 && html`<option value="best">the best weights</option>`}
            ${grids.map((grid) => html`<option key=${grid.url} value=${grid.kimg}>${kimg(grid.kimg)} kimg</option>`)}
          </select></div>
        <button class="button">Begin</button>
      </form>
    <//>`;
}

function Rating({ name, setup, done }) {
  const [num, setNum] = useState(0);
  const [pair, setPair] = useState(null);
  const [hidden, hide] = useState(false);
  const began = useRef(0), heading = useRef(), chosen = useRef(null);
  const [next, fetching] = useAct(async () => {
    setPair(null);
    const found = await ask(ofRating(name, `/pair?${query(setup)}`));
    await Promise.all(["left", "right"].map((side) => Object.assign(new Image(), { src: at(found[side]) }).decode()));
    hide(false);
    setPair(found);
    began.current = performance.now();
    heading.current?.focus();
  });
  const [choose, sending] = useAct(async (choice) => {
    if (!pair || chosen.current === pair.pair) return;
    chosen.current = pair.pair;
    const ms = Math.round(performance.now() - began.current);
    await ask(ofRating(name), { pair: pair.pair, choice, rater: setup.rater, ms });
    setNum((old) => old + 1);
    await next();
  });
  useEffect(() => {
    next();
  }, []);
  useEffect(() => {
    if (!pair || !setup.seconds) return undefined;
    const timer = setTimeout(() => hide(true), 1000 * Number(setup.seconds));
    return () => clearTimeout(timer);
  }, [pair]);
  useEffect(() => {
    const key = (event) => {
      if (event.repeat) return; // a key that is held down judges one pair
      if (SIDES[event.key] && !event.metaKey && !event.ctrlKey && !event.altKey) {
        event.preventDefault();
        choose(SIDES[event.key]);
      } else if (event.key === "Escape") {
        done();
      }
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  });
  const error = fetching.error ?? sending.error;
  return html`
    <${Card} title="Which one is real?" class="rating" aside=${html`<span role="status">${num} judged</span>`}>
      <p class="sr-only" tabindex="-1" ref=${heading}>Pair ${num + 1}. Left arrow: the left one is real. Right arrow: the
        right one.</p>
      ${error
        ? html`<${Failure}>${error}<//><div class="row"><button class="button" onClick=${next}>Another pair</button></div>`
        : html`<div class="pair">${["left", "right"].map((side) => html`
            <button key=${side} class="side" disabled=${!pair || sending.busy} onClick=${() => choose(side)}>
              <span class="frame">${pair && !hidden && html`<img src=${at(pair[side])} alt="" />`}</span>
              <span class="side-name">${side === "left"
                ? html`<span aria-hidden="true">← </span>Left is real`
                : html`Right is real<span aria-hidden="true"> →</span>`}</span>
            </button>`)}</div>`}
      ${setup.seconds && pair && html`<div class="timer" key=${pair.pair} aria-hidden="true">
        <div style=${{ animationDuration: `${setup.seconds}s` }}></div></div>`}
      <div class="row end"><span class="muted small keys">Keys: <kbd>←</kbd> <kbd>→</kbd>, <kbd>Esc</kbd> to end</span>
        <button onClick=${done}>End and see the result</button></div>
    <//>`;
}

function Result({ name, asked }) {
  const { data, error } = asked;
  if (error) return html`<${Failure}>${error}<//>`;
  if (!data) return html`<${Loading} what="Reading the ratings" />`;
  const { deception, by_label: labels, by_rater: raters, by_kimg: times, hardest } = data;
  if (!deception.num) {
    return html`<${Card} title="Result"><p class="muted">Nobody has judged this run yet. What people choose lies in the
      run's folder, as ratings.jsonl.</p><//>`;
  }
  return html`
    <${Card} title="Result" aside=${html`<a href=${ofRating(name, "/result.csv")} download>CSV</a>`}>
      <p class="big"><strong>${percent(deception.rate)}</strong> of the generated pictures were taken for real</p>
      <${Interval} ...${deception} label="all choices" />
      <p class="muted">95% interval ${percent(deception.low)} to ${percent(deception.high)}, from ${whole(deception.num)}
        ${deception.num === 1 ? " choice" : " choices"}. ${verdict(deception)}</p>
      <${Split} title="By label" rows=${labels} of=${(row) => row.label} least=${1} />
      <${Split} title="Over training" rows=${times} of=${(row) => `${kimg(row.kimg)} kimg`} least=${2} />
      <${Split} title="By rater" rows=${raters} of=${(row) => row.rater || "no name"} least=${2} />
      ${hardest.length > 0 && html`<h3>Hardest to tell</h3>
        <ul class="hardest">${hardest.slice(0, 6).map((pair, i) => html`<li key=${i}>
          <div><${Picture} src=${pair.fake} alt="Generated" /><${Picture} src=${pair.real} alt="Real" /></div>
          <span class="muted small">generated · real<br />${pair.fooled} of ${pair.num} fooled</span></li>`)}</ul>`}
    <//>`;
}

function verdict({ low, high }) {
  if (low > 0.5) return "Generated pictures look more real than the real ones.";
  if (high < 0.5) return "People tell them apart: half would mean that they cannot.";
  return "So far nobody can be said to tell them apart: half is what guessing gives.";
}

const Interval = ({ rate, low, high, label }) => html`
  <div class="interval" role="img"
    aria-label=${`${label}: ${percent(rate)}, 95% interval ${percent(low)} to ${percent(high)}`}>
    <div class="half" title="guessing"></div>
    <div class="span" style=${{ left: `${100 * low}%`, width: `${100 * (high - low)}%` }}></div>
    <div class="point" style=${{ left: `${100 * rate}%` }}></div>
  </div>`;

const Split = ({ title, rows, of, least }) => rows.length >= least && html`
  <table class="split"><caption>${title}</caption><tbody>${rows.map((row) => html`<tr key=${of(row)}>
    <th scope="row">${of(row)}</th><td class="bar"><${Interval} ...${row} label=${of(row)} /></td>
    <td>${percent(row.rate)}</td><td class="muted">${whole(row.num)}</td></tr>`)}</tbody></table>`;

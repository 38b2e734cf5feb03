// Playing with a generator: seeds, labels, truncation, directions, walks, neighbours, files to keep.
import { useState } from "preact/hooks";
import {
  Card, Choice, Failure, html, Loading, number, ofRun, pageOf, Picture, query, RunTabs, save, Slider, useAsk,
} from "./parts.js";

const NUMS = [["4", "4"], ["16", "16"], ["36", "36"], ["64", "64"]];
const REACH = 4; // how far a direction's slider goes, in standard deviations of z
const SHOWN = 6;
const NUMBERS = 1_000_000; // a z_seed is the seed times this, and the number of the sample
const FRESH = { seed: 0, num: "16", label: "", truncation: 1, threshold: 0, directions: {} };

const named = (z) => `seed ${Math.floor(z / NUMBERS)}, number ${z % NUMBERS}`;

/** The part of a choice that every sampling address takes. */
function common({ label, truncation, directions }) {
  const moved = Object.entries(directions).filter(([, amount]) => amount !== 0);
  return {
    label, truncation: truncation < 1 ? truncation : "",
    directions: moved.map(([k, amount]) => `${k}:${amount}`).join(","),
  };
}

export function Play({ name }) {
  const { data: run, error } = useAsk(ofRun(name));
  const head = html`<div class="head-row run-head"><h1>${name}</h1></div><${RunTabs} name=${name} page="play" />`;
  if (!run) return html`${head}${error ? html`<${Failure}>${error}<//>` : html`<${Loading} what="Reading the run" />`}`;
  if ((run.recipe["data.kind"] ?? "images") !== "images") {
    return html`${head}<div class="empty"><h2>Nothing to play with here</h2>
      <p>This generator makes ${run.recipe["data.kind"] === "clips" ? "clips" : "images of images"}, not images of noise.
        What it makes is on the <a href=${pageOf("run", name)}>training page</a>.</p></div>`;
  }
  if (!run.has_generator) {
    return html`${head}<div class="empty"><h2>No generator yet</h2>
      <p>It is saved at the run's first checkpoint. The samples so far are on the
        ${" "}<a href=${pageOf("run", name)}>training page</a>.</p></div>`;
  }
  return html`${head}<${Playground} name=${name} run=${run} />`;
}

function Playground({ name, run }) {
  const [choice, setChoice] = useState(FRESH);
  const [picked, pick] = useState(null);
  const [pins, setPins] = useState([]);
  const change = (part) => setChoice((old) => ({ ...old, ...part }));
  const { seed, num, threshold } = choice;
  const wanted = query({ seed, num, threshold: threshold || "", ...common(choice) });
  const { data, error, loading } = useAsk(ofRun(name, `/sample?${wanted}`));
  const directions = useAsk(ofRun(name, "/directions"));
  const pin = (z) => setPins((old) => [...old.filter((one) => one.seed !== z.seed), z].slice(-2));
  const said = loading ? "drawing …" : data && about(data, Number(num));
  const chosen = data?.z_seeds.includes(picked) ? picked : null;
  return html`
    <div class="play">
      <div class="controls">
        <${Card} title="Samples to draw">
          <${Controls} run=${run} choice=${choice} change=${change} />
        <//>
        <${Card} title="Directions" aside=${Object.values(choice.directions).some(Boolean)
          && html`<button class="quiet" onClick=${() => change({ directions: {} })}>Reset</button>`}>
          <${Directions} asked=${directions} values=${choice.directions} onChange=${(k, amount) =>
            change({ directions: { ...choice.directions, [k]: amount } })} />
        <//>
        <${Card} title="Take it with you">
          <p class="muted small">One file that runs anywhere, with gannet or without.</p>
          <div class="row"><a class="button quiet" href=${ofRun(name, "/export?to=onnx")} download>ONNX</a>
            <a class="button quiet" href=${ofRun(name, "/export?to=safetensors")} download>safetensors</a></div>
        <//>
      </div>
      <div class="shown">
        <${Failure}>${error}<//>
        <${Card} title="Samples" aside=${html`<span role="status">${said}</span>`}>
          <div class="bench">
            ${data
              ? html`<${Tiles} data=${data} chosen=${chosen} pick=${pick} pins=${pins} />`
              : html`<div>${!error && html`<${Loading} what="Drawing" />`}</div>`}
            ${chosen === null
              ? html`<p class="muted small inspector">Choose a sample to pin it, to see its nearest training images, or to
                  save it.</p>`
              : html`<${Sample} key=${chosen} name=${name} choice=${choice} seed=${chosen} pin=${pin}
                  image=${data.images[data.z_seeds.indexOf(chosen)]} pinned=${pins.some((one) => one.seed === chosen)} />`}
          </div>
        <//>
        ${pins.length > 0 && html`<${Walk} name=${name} choice=${choice} pins=${pins} clear=${() => setPins([])} />`}
      </div>
    </div>`;
}

function about(data, num) {
  const drawn = data.images.length;
  return drawn < num ? `${drawn} of ${num}: D rates no more over the threshold` : `${drawn} drawn`;
}

function Controls({ run, choice, change }) {
  const { seed, num, label, truncation, threshold } = choice;
  return html`
    <div class="field"><label for="seed">Seed</label>
      <div class="row"><input id="seed" type="number" min="0" step="1" value=${seed}
          onInput=${(event) => event.target.validity.valid && change({ seed: Number(event.target.value) })} />
        <button onClick=${() => change({ seed: Math.floor(1e6 * Math.random()) })}>Another</button></div></div>
    <div class="field"><span>How many</span>
      <${Choice} label="How many" options=${NUMS} value=${num} onChoose=${(key) => change({ num: key })} /></div>
    ${run.classes.length > 0 && html`<div class="field"><label for="label">Label</label>
      <select id="label" value=${label} onChange=${(event) => change({ label: event.target.value })}>
        <option value="">all of them</option>
        ${run.classes.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select></div>`}
    <${Slider} label="Truncation" min="0.1" max="1" step="0.05" value=${truncation}
      shown=${truncation < 1 ? number(truncation) : "off"} onInput=${(value) => change({ truncation: value })} />
    ${run.has_discriminator && html`<${Slider} label="Only those that D rates over" min="0" max="0.95" step="0.05"
      value=${threshold} shown=${threshold ? number(threshold) : "off"} onInput=${(value) => change({ threshold: value })} />`}`;
}

function Directions({ asked, values, onChange }) {
  const { data, error } = asked;
  if (error) return html`<p class="muted small">${error}</p>`;
  if (!data) return html`<${Loading} what="Finding directions" />`;
  if (!data.num) return html`<p class="muted small">This generator has none.</p>`;
  return html`
    <p class="muted small">What changes most in the images when z moves. What each one means is for you to find.</p>
    ${data.names.slice(0, SHOWN).map((text, k) => html`<${Slider} key=${k} label=${text} min=${-REACH} max=${REACH} step="0.1"
      value=${values[k] ?? 0} shown=${(values[k] ?? 0).toFixed(1)} onInput=${(amount) => onChange(k, amount)} />`)}`;
}

const Tiles = ({ data, chosen, pick, pins }) => html`
  <ul class="tiles" style=${{ "--columns": Math.ceil(Math.sqrt(data.images.length)) }}>
    ${data.images.map((image, i) => {
      const seed = data.z_seeds[i];
      const pinned = pins.findIndex((one) => one.seed === seed);
      return html`<li key=${seed}><button aria-pressed=${seed === chosen} onClick=${() => pick(seed === chosen ? null : seed)}
        aria-label=${`Sample of ${named(seed)}${pinned >= 0 ? ", pinned" : ""}`}>
        <img src=${image} alt="" />
        ${pinned >= 0 && html`<span class="pin" aria-hidden="true">${"AB"[pinned]}</span>`}</button></li>`;
    })}
  </ul>
  ${!data.images.length && html`<p class="muted">D rates none of these over the threshold: lower it, or try another seed.</p>`}`;

function Sample({ name, choice, seed, image, pin, pinned }) {
  const [near, setNear] = useState(false);
  const own = query({ seed, ...common(choice) });
  const { data, error, loading } = useAsk(near ? ofRun(name, `/nearest?${own}`) : null);
  return html`
    <section class="inspector" aria-label=${`Sample of ${named(seed)}`}>
      <img class="large" src=${image} alt=${`Sample of ${named(seed)}`} />
      <h3>${named(seed)}</h3>
      <div class="row">
        <button aria-disabled=${pinned} onClick=${() => pinned || pin({ seed, image })}>${pinned ? "Pinned" : "Pin"}</button>
        <button onClick=${() => save(image, `${name}-${seed}.png`)}>Save PNG</button>
        <a class="button quiet" href=${ofRun(name, `/latent?${own}`)} download
          title="For gannet sample --latents, which draws it again; --truncation goes with a z">Save latent</a>
        <button aria-pressed=${near} onClick=${() => setNear(!near)}>Nearest training images</button>
      </div>
      <${Failure}>${error}<//>
      ${near && loading && html`<${Loading} what="Looking through the training images" />`}
      ${near && data && html`
        <ul class="near">${data.nearest.map(({ image: one, distance }, i) => html`<li key=${i}>
          <${Picture} src=${one} alt=${`Training image, rank ${i + 1}`} />
          <span class="muted small">${number(distance)}</span></li>`)}</ul>
        <p class="muted small">How far their pixels are from the sample's, from 0 to 1. A copy would be at 0.</p>`}
    </section>`;
}

function Walk({ name, choice, pins, clear }) {
  const [steps, setSteps] = useState(8);
  const [a, b] = pins;
  const path = b && ofRun(name, `/walk?${query({ a: a.seed, b: b.seed, steps, ...common(choice) })}`);
  const { data, error } = useAsk(path ?? null);
  return html`
    <${Card} title="Walk between two" aside=${html`<button class="quiet" onClick=${clear}>Unpin</button>`}>
      ${!b && html`<p class="muted">A is pinned. Choose another sample and pin it: the walk goes from A to B.</p>`}
      <${Failure}>${error}<//>
      ${b && data && html`
        <ol class="strip">${data.images.map((image, i) => html`<li key=${i}>
          <img src=${image} alt=${`Step ${i + 1} of ${data.images.length}`} /></li>`)}</ol>
        <div class="row end"><${Slider} label="Steps" min="3" max="16" step="1" value=${steps} onInput=${setSteps} />
          <button onClick=${() => save(data.strip, `${name}-${a.seed}-to-${b.seed}.png`)}>Save strip</button></div>`}
    <//>`;
}

// A look at images before training on them, and the start of a run.
import { useEffect, useState } from "preact/hooks";
import { ask, Card, Choice, Failure, html, Loading, pageOf, Picture, query, useAct, useAsk, whole } from "./parts.js";

const MOST_CLASSES = 12;
const LISTED = 8;
const COLOURS = { 1: "grey", 3: "RGB", 4: "RGB with transparency" };

export function Data({ query: given }) {
  const { data: places, error } = useAsk("api/data");
  const path = given.get("path") ?? "";
  const [typed, type] = useState(path);
  useEffect(() => type(path), [path]);
  const look = (chosen) => {
    location.hash = `/data?${query({ path: chosen })}`;
  };
  return html`
    <h1>New run</h1>
    <${Failure}>${error}<//>
    <${Card} title="Images">
      <form class="row" onSubmit=${(event) => {
        event.preventDefault();
        look(typed.trim());
      }}>
        <input type="text" class="wide" aria-label="Folder, zip or name of a set" placeholder="Folder, zip or name of a set"
          list="sources" value=${typed} onInput=${(event) => type(event.target.value)} />
        <datalist id="sources">${places?.sources.map((source) => html`<option key=${source} value=${source} />`)}</datalist>
        <button class="button" disabled=${!typed.trim()}>Look at them</button>
      </form>
      ${places && html`<${Sets} title="Sets that need no folder" names=${places.drawn} look=${look} />`}
      ${places?.sources.length > 0 && html`<${Sets} title="Found here" names=${places.sources} look=${look} />`}
    <//>
    ${path
      ? html`<${Looked} key=${path} path=${path} places=${places} />`
      : html`<div class="empty"><h2>What is in your images?</h2>
          <p>Gannet looks at every one of them: how many, how large, which classes, what cannot be read, what is there twice.
            Then it names the recipe that suits them.</p></div>`}`;
}

const Sets = ({ title, names, look }) => html`
  <p class="muted small sets">${title}:
    ${" "}${names.slice(0, LISTED).map((name) => html`
      <button key=${name} type="button" class="chip" onClick=${() => look(name)}>${name}</button>`)}
    ${names.length > LISTED && html`and ${names.length - LISTED} more, of which you type a part of the name`}</p>`;

function Looked({ path, places }) {
  const { data: found, error } = useAsk(`api/data?${query({ path })}`);
  if (error) return html`<${Failure}>${error}<//>`;
  if (!found || !places) return html`<${Loading} what="Looking at every image" />`;
  const { scan } = found;
  const copies = [...found.exact_duplicates, ...found.near_duplicates];
  return html`
    <div class="looked">
      <div>
        <${Card} title="What is in them">
          <dl class="facts-list">
            <dt>Images</dt><dd>${whole(scan.num)}</dd>
            <dt>Size</dt><dd>${size(scan)}</dd>
            <dt>Colours</dt><dd>${COLOURS[scan.channels] ?? `${scan.channels} channels`}</dd>
            <dt>Classes</dt><dd>${Object.keys(scan.classes).length || "none"}</dd>
            <dt>Exact copies</dt><dd>${extra(found.exact_duplicates)}</dd>
            <dt>Near copies</dt><dd>${extra(found.near_duplicates)}</dd>
            <dt>Unreadable</dt><dd>${whole(scan.unreadable.length)}</dd>
          </dl>
          <${Classes} classes=${scan.classes} />
          ${found.notes.length > 0 && html`
            <ul class="notes">${found.notes.map((note) => html`<li key=${note}>${note}</li>`)}</ul>`}
          <${Names} title="unreadable files" names=${scan.unreadable.map(([file, why]) => `${file}: ${why}`)} />
          <${Names} title="groups of copies" names=${copies.map((group) => group.join(", "))} />
        <//>
      </div>
      <div>
        ${places.elsewhere
          ? html`<${Elsewhere} command=${places.elsewhere} />`
          : html`<${Start} path=${path} found=${found} recipes=${places.recipes} />`}
        <${Card} title="Some of them"><${Picture} src=${found.sheet} alt="Some of the images" class="grid-picture" /><//>
      </div>
    </div>`;
}

function size({ width, height }) {
  const [low, , high] = [0, 1, 2].map((i) => `${width[i]} × ${height[i]}`);
  return low === high ? low : `${low} to ${high}`;
}

const extra = (groups) => whole(groups.reduce((sum, group) => sum + group.length - 1, 0));

function Classes({ classes }) {
  const all = Object.entries(classes);
  if (all.length < 2) return null;
  const most = Math.max(...all.map(([, count]) => count));
  return html`<table class="bars"><caption>Images of each class</caption><tbody>
    ${all.slice(0, MOST_CLASSES).map(([name, count]) => html`<tr key=${name}><th scope="row">${name}</th>
      <td class="bar"><div style=${{ width: `${(100 * count) / most}%` }}></div></td><td>${whole(count)}</td></tr>`)}
    </tbody></table>
    ${all.length > MOST_CLASSES && html`<p class="muted small">and ${all.length - MOST_CLASSES} more classes</p>`}`;
}

const Names = ({ title, names }) => names.length > 0 && html`
  <details><summary>${names.length} ${title}</summary>
    <ul class="names">${names.slice(0, LISTED).map((name) => html`<li key=${name}>${name}</li>`)}</ul>
    ${names.length > LISTED && html`
      <p class="muted small">and ${names.length - LISTED} more: gannet inspect --json names all</p>`}
  </details>`;

const BUDGETS = [["minutes", "minutes"], ["kimg", "kimg"]];

const NUMBER = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

/** The lines "optim.D.lr 0.0001", "optim.D.betas = 0.5 0.9" or "data.no-labels" as settings. */
function parsed(text) {
  const lines = text.split("\n").map((line) => line.trim().replace(/^--/, "")).filter(Boolean);
  return Object.fromEntries(lines.map((line) => {
    const [, name, value] = line.match(/^(\S+?)(?:\s*=\s*|\s+)(.+)$/) ?? [null, line, "true"];
    const parts = value.split(/\s+/);
    if (["true", "false"].includes(value)) return [name, value === "true"];
    return [name, parts.length > 1 && parts.every((part) => NUMBER.test(part)) ? parts.map(Number) : value];
  }));
}

/** What was last asked for in the form, by the images, and which images the runs were begun on: until the page is left. */
const drafts = new Map();
const begunOn = new Map();

/** Where the form is in which a run was begun, as it was filled in. */
export const formOf = (name) => (begunOn.has(name) ? `#/data?${query({ path: begunOn.get(name) })}` : "#/data");

/** In place of the form, where this studio shows one run: `command` opens one that can start others. */
const Elsewhere = ({ command }) => html`
  <${Card} title="Train on them">
    <p>This studio shows one run, and cannot start another. Open the studio of all runs in a terminal, and come back to this
      page there:</p>
    <pre tabindex="0">${command}</pre>
  <//>`;

function Start({ path, found, recipes }) {
  const best = found.recommended;
  const [draft, setDraft] = useState(drafts.get(path) ?? { recipe: "", unit: "minutes", budget: "5", name: "", text: "" });
  const { recipe, unit, budget, name, text } = draft;
  const [isOpen] = useState(text !== "");
  const put = (change) => setDraft((old) => {
    drafts.set(path, { ...old, ...change });
    return drafts.get(path);
  });
  const [start, { busy, error }] = useAct(async () => {
    const settings = parsed(text);
    const asked = { data: path, recipe: recipe || null, settings, name: name.trim() || null, [unit]: Number(budget) };
    const begun = await ask("api/runs", asked);
    begunOn.set(begun.name, path);
    location.hash = pageOf("run", begun.name);
  });
  const about = recipes.find((one) => one.name === (recipe || best.recipe))?.about;
  return html`
    <${Card} title="Train on them" id="start">
      <form onSubmit=${(event) => {
        event.preventDefault();
        start();
      }}>
        <div class="field"><label for="recipe">Recipe</label>
          <select id="recipe" value=${recipe} onChange=${(event) => put({ recipe: event.target.value })}>
            <option value="">${best.recipe}, recommended</option>
            ${recipes.map((one) => html`<option key=${one.name} value=${one.name}>${one.name}</option>`)}
          </select></div>
        <p class="muted small">${about}${!recipe && html`
          <br />${[`At ${best.resolution} px`, ...best.why].join("; ")}`}</p>
        <div class="field"><label for="budget">Budget</label>
          <div class="row"><input id="budget" type="number" min="0.01" step="any" required value=${budget}
              onInput=${(event) => put({ budget: event.target.value })} />
            <${Choice} label="Unit of the budget" options=${BUDGETS} value=${unit} onChoose=${(chosen) => put({ unit: chosen })} /></div></div>
        <div class="field"><label for="name">Name</label>
          <input id="name" type="text" placeholder="chosen for you" value=${name}
            onInput=${(event) => put({ name: event.target.value })} /></div>
        <details open=${isOpen}><summary>Other settings</summary>
          <label class="muted small" for="settings">One a line, as in <code>optim.D.lr 0.0001</code>,
            ${" "}<code>optim.D.betas 0.5 0.9</code>, <code>data.no-labels</code></label>
          <textarea id="settings" rows="4" spellcheck="false" value=${text}
            onInput=${(event) => put({ text: event.target.value })}></textarea>
        </details>
        <${Failure}>${error}<//>
        <button class="button" disabled=${busy}>${busy ? "Starting …" : "Start training"}</button>
        <p class="muted small">It goes on when this page or the studio is closed.</p>
      </form>
    <//>`;
}

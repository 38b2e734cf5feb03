// The grids of a run: the same noise over time, beside real images.
import { useEffect, useState } from "preact/hooks";
import { at, Card, html, kimg, Picture } from "./parts.js";

const FRAME = 220; // milliseconds

export function Grids({ grids, real }) {
  const last = grids.length - 1;
  const [place, setPlace] = useState(null); // null: the newest, also when a newer one comes
  const [playing, play] = useState(false);
  const shown = Math.min(place ?? last, last);
  useEffect(() => {
    if (!playing) return undefined;
    if (shown >= last) {
      play(false);
      setPlace(null);
      return undefined;
    }
    const timer = setTimeout(() => setPlace(shown + 1), FRAME);
    return () => clearTimeout(timer);
  }, [playing, shown, last]);
  useEffect(() => {
    for (const near of [grids[shown + 1], grids[shown - 1]]) if (near) new Image().src = at(near.url);
  }, [shown, last]);
  if (last < 0) {
    return html`<${Card} title="Samples">
      <p class="muted">No grid of samples yet. The first is drawn when training starts.</p><//>`;
  }
  const { kimg: time, url } = grids[shown];
  const move = (value) => {
    play(false);
    setPlace(value === last ? null : value);
  };
  const start = () => {
    if (!playing && shown >= last) setPlace(0);
    play(!playing);
  };
  const aside = `${shown + 1} of ${grids.length}${place === null && last > 0 ? ", the newest" : ""}`;
  return html`
    <${Card} title="Samples" aside=${aside}>
      <div class="pair-of-grids">
        <figure><${Picture} src=${url} alt=${`Samples of the same noise at ${kimg(time)} kimg`} class="grid-picture" />
          <figcaption>Generated at <strong>${kimg(time)} kimg</strong>, always from the same noise</figcaption></figure>
        <figure><${Picture} src=${real} alt="Real images" class="grid-picture" />
          <figcaption>Real images</figcaption></figure>
      </div>
      ${last > 0 && html`
        <div class="player">
          <button onClick=${start} aria-label=${playing ? "Pause" : "Play the samples over time"}>
            ${playing ? "❚❚" : "▶"}</button>
          <input type="range" min="0" max=${last} value=${shown} aria-label="Samples over time"
            aria-valuetext=${`${kimg(time)} kimg`} onInput=${(event) => move(Number(event.target.value))} />
          <output>${kimg(time)} kimg</output>
        </div>`}
    <//>`;
}

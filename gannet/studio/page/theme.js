// Light or dark: as the system has it, until a person chooses.
import { useEffect, useState } from "preact/hooks";

const system = matchMedia("(prefers-color-scheme: dark)");
const heard = new EventTarget();
const root = document.documentElement;

try {
  const kept = localStorage.getItem("gannet-theme");
  if (kept) root.dataset.theme = kept;
} catch {
  // a frame in a notebook may have no storage
}

const now = () => root.dataset.theme ?? (system.matches ? "dark" : "light");

export function toggle() {
  root.dataset.theme = now() === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("gannet-theme", root.dataset.theme);
  } catch {
    // then it is forgotten with the page
  }
  heard.dispatchEvent(new Event("change"));
}

/** "light" or "dark"; whoever asks is drawn anew when it changes. */
export function useTheme() {
  const [theme, setTheme] = useState(now);
  useEffect(() => {
    const change = () => setTheme(now());
    for (const source of [system, heard]) source.addEventListener("change", change);
    return () => {
      for (const source of [system, heard]) source.removeEventListener("change", change);
    };
  }, []);
  return theme;
}

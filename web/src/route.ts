/** Where the viewer is, as the part of the address behind #: `#/course/py101?projector`. Pure. */

export type Place =
  | { readonly view: "school" }
  | { readonly view: "course"; readonly id: string }
  | { readonly view: "student"; readonly id: string }
  | { readonly view: "about" }
  | { readonly view: "oncall" };

export type Route = Place & { readonly projector: boolean };

export const HOME: Route = { view: "school", projector: false };

const PROJECTOR = "projector";

/** What is no place of ours is the school. */
export function parse(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#/, "").split("?", 2);
  const projector = query.split("&").includes(PROJECTOR);
  const [, view, id] = /^\/(\w+)(?:\/([^/]+))?$/.exec(path) ?? [];
  if ((view === "about" || view === "oncall") && id === undefined) return { view, projector: false };
  if ((view === "course" || view === "student") && id !== undefined) {
    const decoded = unescaped(id);
    // Of one student there is nothing to project: it would be about a person.
    if (decoded !== null) return { view, id: decoded, projector: projector && view === "course" };
  }
  return { view: "school", projector };
}

export function format(route: Place & { readonly projector?: boolean }): string {
  const path = "id" in route ? `${route.view}/${encodeURIComponent(route.id)}` : route.view === "school" ? "" : route.view;
  return `#/${path}${route.projector === true ? `?${PROJECTOR}` : ""}`;
}

/** Whether both are the same view of the same thing, projected or not. */
export function samePlace(a: Place, b: Place): boolean {
  return format({ ...a, projector: false }) === format({ ...b, projector: false });
}

function unescaped(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null; // a lone % is nobody's id
  }
}

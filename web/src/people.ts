/** The people of the page: how many, who is how, in which group, who waits. Pure. */

import type { Student } from "./api.ts";
import type { State } from "./state.ts";

/** How many ask for help in the school, as the pipelines say; until they have, it is counted. */
export function waiting(state: State): number {
  return state.ofSchool("help_requests_open")?.value ?? state.students.filter((student) => student.waiting).length;
}

export const PRESENCES = ["waiting", "struggling", "active", "idle", "away"] as const;
export type Presence = (typeof PRESENCES)[number];

/** Waiting says more than struggling, and that more than the rest: somebody should go there. */
export function presence(student: Student): Presence {
  if (student.waiting) return "waiting";
  if (student.struggling) return "struggling";
  if (student.idle === true) return "idle";
  return student.present ?? student.active ? "active" : "away";
}

/** Who waits for help in a course, whoever has waited longest first; whose wait nobody has told comes last. */
export function queue(state: State, courseId: string): { readonly student: Student; readonly team: string }[] {
  return groups(state, courseId)
    .flatMap(({ name, students }) => students.map((student) => ({ student, team: name ?? "" })))
    .filter(({ student }) => student.waiting)
    .sort((a, b) => (b.student.waitingS ?? -1) - (a.student.waitingS ?? -1));
}

export interface Group {
  readonly teamId: string | null;
  readonly name: string | null; // null: students without a team
  readonly students: readonly Student[];
}

/** The students of a course by team: teams in the overview's order, then those without one. */
export function groups(state: State, courseId: string): Group[] {
  const byTeam = new Map<string | null, Student[]>(state.teamsOf(courseId).map((team) => [team.teamId, []]));
  for (const student of state.students) {
    for (const enrolment of student.enrolments) {
      if (enrolment.courseId !== courseId) continue;
      const members = byTeam.get(enrolment.teamId);
      if (members === undefined) byTeam.set(enrolment.teamId, [student]);
      else members.push(student);
    }
  }
  const names = new Map<string | null, string>(state.teamsOf(courseId).map((team) => [team.teamId, team.name]));
  return [...byTeam]
    .filter(([, students]) => students.length > 0)
    .sort(([a], [b]) => Number(a === null) - Number(b === null))
    .map(([teamId, students]) => ({ teamId, name: teamId === null ? null : (names.get(teamId) ?? teamId), students }));
}

/** Students whom no course of the overview holds: those who are not on the roster. */
export function strays(state: State): Student[] {
  const known = new Set(state.courses.map((course) => course.courseId));
  return state.students.filter((student) => !student.enrolments.some(({ courseId }) => known.has(courseId)));
}

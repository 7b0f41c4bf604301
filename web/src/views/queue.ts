/** Who waits for help, in the order of waiting, each with a link to how he is. */

import type { Student } from "../api.ts";
import { element, KeyedList, setAttribute, setText, type View } from "../dom.ts";
import { queue } from "../people.ts";
import { format } from "../route.ts";
import { Roving } from "../roving.ts";
import type { Page } from "./page.ts";

interface Waiter {
  readonly student: Student;
  readonly team: string;
}

export class Queue {
  readonly root: HTMLElement;
  private readonly list: KeyedList<Waiter>;
  private readonly nobody: HTMLElement;
  private readonly roving: Roving;

  private readonly page: Page;
  private readonly courseId: string;

  constructor(page: Page, courseId: string) {
    this.page = page;
    this.courseId = courseId;
    const { texts } = page.locale;
    const items = element("ol", { class: "queue", "aria-label": texts.queue });
    this.roving = new Roving(items, "a");
    this.list = new KeyedList(
      items,
      ({ student }) => student.scope,
      () => new WaiterView(page),
    );
    this.nobody = element("p", { class: "nobody" }, texts.nobodyWaits);
    this.root = element("section", { class: "card waiters" }, element("h3", {}, texts.queue), this.nobody, items);
  }

  update(): void {
    const waiters = queue(this.page.state, this.courseId);
    this.nobody.hidden = waiters.length > 0;
    this.list.update(waiters);
    this.roving.renew();
  }
}

class WaiterView implements View<Waiter> {
  private readonly name = element("a");
  private readonly team = element("small");
  private readonly wait = element("span", { class: "wait" });
  readonly root = element(
    "li",
    {},
    element("i", { class: "glyph", "data-presence": "waiting", "aria-hidden": "true" }),
    this.name,
    this.team,
    this.wait,
  );

  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  update({ student, team }: Waiter): void {
    const { locale, names } = this.page;
    setText(this.name, names.of(student, locale));
    setAttribute(this.name, "href", format({ view: "student", id: names.addressOf(student.studentId) }));
    setText(this.team, team);
    setText(
      this.wait,
      student.waitingS === null ? locale.texts.waits : locale.say("waitsFor", { time: locale.length(student.waitingS) }),
    );
  }
}

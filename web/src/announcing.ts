/** What a screen reader is told unasked: that more students ask for help, and no oftener than it can be borne. Pure. */

const GAP_MS = 15_000;

export class Announcer {
  private told: number | null = null;
  private notBeforeMs = 0;

  /** The number to say now; null: nothing. What has gone by is not told afterwards. */
  next(waiting: number, nowMs: number): number | null {
    const before = this.told;
    if (before === null || waiting < before) {
      this.told = waiting; // who arrives reads the page; fewer is no call to act
      return null;
    }
    if (waiting === before || nowMs < this.notBeforeMs) return null;
    this.told = waiting;
    this.notBeforeMs = nowMs + GAP_MS;
    return waiting;
  }
}

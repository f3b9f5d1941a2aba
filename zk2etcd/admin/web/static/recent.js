// The samples of the last 15 minutes, of which the server sends only the new ones.

const KINDS = ["lag", "rate", "progress"];

export class Recent {
  constructor() {
    this.at = [];
    this.shards = new Map();
    this.next = -1;
    this.instance = null;
    this.due = 0;
    this.version = 0; // counts the changes
  }

  // Asks for what is new, if there can be something. Rejects when there is no answer.
  async refresh(signal) {
    if (performance.now() < this.due) return;
    let found = await ask(this.next, signal);
    if (this.instance === null) this.instance = found.instance;
    if (found.instance !== this.instance) {
      this.forget(found.instance);
      found = await ask(-1, signal);
    }
    if (found.first !== this.next + 1) this.forget(found.instance);
    this.take(found);
    this.due = performance.now() + (found.every_seconds * 1000) / 2;
  }

  forget(instance) {
    this.at = [];
    this.shards.clear();
    this.next = -1;
    this.instance = instance;
    this.version++;
  }

  take(found) {
    const before = this.at.length;
    this.at = this.at.concat(found.at).slice(-found.samples);
    this.next = found.next;
    if (found.at.length) this.version++;
    for (const shard of this.shards.keys()) {
      if (!Object.hasOwn(found.shards, shard)) this.shards.delete(shard);
    }
    for (const [shard, series] of Object.entries(found.shards)) {
      const known = this.shards.get(shard) ?? {};
      const fresh = {};
      for (const kind of KINDS) {
        const old = known[kind] ?? new Array(before).fill(null);
        fresh[kind] = old.concat(series[kind]).slice(-found.samples);
      }
      this.shards.set(shard, fresh);
    }
  }

  // One shard's values, or of all together: the worst lag, the sum of the rates.
  values(kind, shard) {
    if (shard) return this.shards.get(shard)?.[kind] ?? [];
    const all = [...this.shards.values()].map((series) => series[kind]);
    return this.at.map((_, index) => {
      const known = all.map((values) => values[index]).filter((value) => value !== null);
      if (!known.length) return null;
      return kind === "lag" ? Math.max(...known) : known.reduce((sum, value) => sum + value, 0);
    });
  }
}

async function ask(after, signal) {
  const answer = await fetch(`history?after=${after}`, { signal });
  if (!answer.ok) throw new Error(`the supervisor answers ${answer.status}`);
  return answer.json();
}

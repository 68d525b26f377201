/** UTF-8, for engines without TextEncoder. Broken bytes become U+FFFD. */

export function encode(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0) ?? 0;
    if (point < 0x80) bytes.push(point);
    else if (point < 0x800) bytes.push(0xc0 | (point >> 6), 0x80 | (point & 63));
    else if (point < 0x10000) bytes.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
    else bytes.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 63), 0x80 | ((point >> 6) & 63), 0x80 | (point & 63));
  }
  return Uint8Array.from(bytes);
}

export function decode(bytes: Uint8Array): string {
  const parts: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at] ?? 0;
    const more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : -1;
    let point = more < 0 ? -1 : more === 0 ? first : first & (0x3f >> more);
    let next = at + 1;
    for (let left = more; left > 0 && point >= 0; left -= 1) {
      const byte = bytes[next] ?? 0;
      if ((byte & 0xc0) !== 0x80) point = -1;
      else {
        point = (point << 6) | (byte & 63);
        next += 1;
      }
    }
    const least = [0, 0x80, 0x800, 0x10000][Math.max(more, 0)] ?? 0;
    const isBroken = point < least || point > 0x10ffff || (point >= 0xd800 && point < 0xe000);
    parts.push(isBroken ? "\ufffd" : String.fromCodePoint(point));
    at = next;
  }
  return parts.join("");
}

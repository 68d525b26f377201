// What every flow does with a page: goes, presses, waits for what is to be seen.
import assert from "node:assert/strict";

/** Goes to a place of the service; what it answers with is said beforehand. */
export async function go(world, page, path, status = 200) {
  if (status >= 400) page.expected.push(status);
  const answer = await page.goto(`${world.service.url}${path}`);
  assert.equal(answer.status(), status, path);
  await unhurt(page);
}

export async function unhurt(page) {
  assert.equal(await page.evaluate(() => window.hurts), undefined, `hostile text ran at ${page.url()}`);
}

export const press = (page, name) => page.getByRole("button", { name, exact: true }).first().click();
export const has = (page, text) => page.getByText(text).first().waitFor();

/** Carries `flow` out on a page of its own. */
export const onPage = (flow) => async (world) => {
  const page = await world.watched(world.context);
  try {
    await flow(world, page);
  } finally {
    await page.close();
  }
};

/** Presses Tab until what is focused fits `selector`; yields how often. */
export async function tabTo(page, selector, most = 120) {
  for (let times = 1; times <= most; times += 1) {
    await page.keyboard.press("Tab");
    if (await page.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return times;
  }
  throw new Error(`${selector} is not reached with ${most} presses of Tab at ${page.url()}`);
}

import { encode } from "../utf8.ts";
import { refusal, state } from "./state.ts";

type Request = { method: string; url: string; headers: [string, Uint8Array][]; body: Uint8Array };

export function send(request: Request): { status: number; headers: [string, Uint8Array][]; body: Uint8Array } {
  state().needs("http");
  state().requests.push(request);
  const answer = state().answers.get(`${request.method} ${request.url}`);
  if (answer === undefined) throw refusal("unavailable", `no answer: the fake host has none for ${request.method} ${request.url}`);
  return { status: answer.status, headers: [], body: encode(answer.text) };
}

// What a page does with the generated types, without a hand edit of them: compiled, never run.
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./schema.js";

type Role = components["schemas"]["Role"];
type SessionState = components["schemas"]["SessionState"];

const client = createClient<paths>({ baseUrl: "https://school.example" });

export async function namesOfMyClasses(): Promise<string[]> {
  const { data, error } = await client.GET("/api/v1/classes", { params: { query: { page: 1, limit: 20 } } });
  if (error) {
    const { code, message, details } = error.error;
    return [code satisfies components["schemas"]["Code"], message, ...Object.keys(details)];
  }
  const next: string | null = data.meta.links.next;
  return [...data.data.classes.map((each) => each.name), next ?? "", `${data.meta.total}`];
}

export async function signIn(email: string, password: string): Promise<Role | "locked"> {
  const { data, error } = await client.POST("/api/v1/auth/login", { body: { email, password } });
  if (error) {
    if (error.error.code === "AUTH_ACCOUNT_LOCKED") return "locked";
    throw new Error(error.error.message);
  }
  return data.data.user.role;
}

export async function openSession(id: string): Promise<SessionState> {
  const { data } = await client.PUT("/api/v1/sessions/{id}/start", { params: { path: { id } } });
  if (data === undefined) return "scheduled";
  return "session" in data.data ? data.data.session.status : "pending";
}

// One envelope told from the other by one field.
export function message(answer: components["schemas"]["ErrorEnvelope"] | { success: true; code: string }): string {
  return answer.success ? answer.code : answer.error.message;
}

// Names of operations that pages and tests import.
export type Mark = operations["markAttendance"];
// @ts-expect-error A field of another type than the body has.
void client.POST("/api/v1/auth/login", { body: { email: "", password: 7 } });
// @ts-expect-error A role that there is not.
export const nobody: Role = "superuser";

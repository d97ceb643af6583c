/** A folder's name as Compose names a project after it: small letters, digits, `-` and `_` (compose-go loader `NormalizeProjectName`). */
export function projectNameOf(folder: string): string {
  return folder
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, "")
    .replace(/^[_-]+/, "");
}

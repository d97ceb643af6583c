/** Release that this package models; the sources are those of the project's last state, which came behind it. */
export const RELEASE = "2.8.1";

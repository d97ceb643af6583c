const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The uid of an object that was made from another: each byte's bits reversed but those of version and variant
 * (`libcalico-go/lib/backend/k8s/conversion/conversion.go` ConvertUID). `undefined` where there is none, or it is no UUID.
 */
export function convertUid(uid: string | undefined): string | undefined {
  if (uid === undefined || !UUID.test(uid)) return undefined;
  let byte = 0;
  return uid.toLowerCase().replace(/[0-9a-f]{2}/g, (hex) => {
    const at = byte++;
    return at === 6 || at === 8
      ? hex
      : reversedBits(Number.parseInt(hex, 16)).toString(16).padStart(2, "0");
  });
}

function reversedBits(byte: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 8; bit++) reversed |= ((byte >> bit) & 1) << (7 - bit);
  return reversed;
}

// What the two sides of the bare path agree on.

/** Before the body: the time of sending, 8 bytes, a double of the load's own clock. */
export const bareHeadBytes = 8;
/** In a schema of its own, dropped afterwards. */
export const bareSchema = 'weft_bare';
export const bareTable = `${bareSchema}.entries`;

// Networks in the browser: onnxruntime-web, on up to half of the processor's cores.

import * as ort from "./ort.wasm.bundle.min.mjs";

/** The network in an ONNX file with one input, as a function: (values, shape) -> its outputs by
 * their names, as Float32Arrays. */
export async function loadNetwork(path) {
  const session = await ort.InferenceSession.create(path, { executionProviders: ["wasm"] });
  const [input] = session.inputNames;
  return async (values, shape) => {
    const outputs = await session.run({ [input]: new ort.Tensor("float32", values, shape) });
    return Object.fromEntries(Object.entries(outputs).map(([name, own]) => [name, own.data]));
  };
}

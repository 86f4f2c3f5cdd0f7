// node upload.mjs ENDPOINT FILE: uploads a file by tus-js-client, which goes on by itself where the line breaks.
import { createReadStream, statSync } from "node:fs";
import { basename } from "node:path";
import { Upload } from "tus-js-client";

const [endpoint, path] = process.argv.slice(2);
const upload = new Upload(createReadStream(path), {
  endpoint,
  uploadSize: statSync(path).size,
  retryDelays: [0, 500, 1000, 2000, 4000, 8000],
  metadata: { filename: basename(path), filetype: "image/tiff" },
  onError: (error) => {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess: () => {
    console.log(upload.url);
    process.exit(0);
  },
});
upload.start();

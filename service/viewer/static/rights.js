// What the key of this page may do. Parts of the page that need a right (data-needs) are hidden from who lacks it.
import { json } from "./api.js";

let me = { may: [], job: null };

export async function loadRights() {
  me = await json("me");
  document.body.dataset.may = me.may.join(" ");
}

export const may = (right) => me.may.includes(right);
// True of who came by a link, and sees one job.
export const isGuest = () => me.job !== null;

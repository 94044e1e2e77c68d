// What the numbers are called, what they mean on the shop floor, and how they are written.

import { count, number } from "./numbers.js";

const RATE = "Share of ";
// name: [title, meaning, smaller is better, plain number instead of percent]
const KNOWN = {
  image_auroc: [
    "Image AUROC",
    "Chance that a defective picture scores higher than a good one. 50 % is guessing.",
  ],
  image_ap: ["Image AP", "Average precision of the picture scores: how clean the top of the ranking is."],
  image_f1_max: [
    "Image F1-max",
    "Best F1 that any threshold on the picture score reaches on these very pictures: an upper bound.",
  ],
  pixel_auroc: [
    "Pixel AUROC",
    "Chance that a defective pixel scores higher than a good one. Large defects dominate it.",
  ],
  pixel_ap: ["Pixel AP", "Average precision over all pixels."],
  pixel_f1_max: ["Pixel F1-max", "Best F1 that any threshold reaches over all pixels: an upper bound."],
  aupro: [
    "AUPRO",
    "How well each defect region is covered while few good pixels light up; every region counts the same, small or large.",
  ],
  pooled_miou: [
    "Pooled mIoU",
    "Overlap of predicted and true masks, all pixels thrown together. Large defects dominate it.",
  ],
  sample_miou: ["Sample_mIoU", "Mean overlap per picture; a good picture left empty counts as perfect."],
  seg_miou: [
    "Seg_mIoU",
    "Mean overlap over pictures that are or are called defective. Misses and false alarms count 0; good pictures passed do not lift it.",
  ],
  seg_recall: ["Seg_Recall", RATE + "defective parts that are stopped with the mask on the defect."],
  seg_recall_10: [
    "Seg_Recall, IoU > 0.1",
    RATE + "defective parts that are stopped with more than 10 % overlap.",
  ],
  seg_recall_30: [
    "Seg_Recall, IoU > 0.3",
    RATE + "defective parts that are stopped with more than 30 % overlap.",
  ],
  seg_recall_50: [
    "Seg_Recall, IoU > 0.5",
    RATE + "defective parts that are stopped with more than 50 % overlap.",
  ],
  seg_recall_area: [
    "Defect covered",
    "Mean share of the defect's area that the mask covers; 0 where the part was shipped.",
  ],
  sample_precision: ["Sample precision", RATE + "stopped parts that really are defective."],
  sample_recall: ["Sample recall", RATE + "defective parts that are stopped."],
  sample_f1: ["Sample F1", "Balance of precision and recall of the ship-or-stop decision."],
  sample_fpr: ["False-positive rate", RATE + "good parts that are stopped.", true],
  escape_rate: ["Escape rate", RATE + "defective parts that would be shipped.", true],
  overkill_rate: ["Over-kill rate", RATE + "good parts that would be stopped.", true],
  cost: ["Cost per part", "Mean cost of wrong decisions per part at the stated unit costs.", true, true],
  map_50: [
    "mAP@.5",
    "Mean over classes of the average precision of the boxes; a box is right at 50 % overlap.",
  ],
  map_50_95: ["mAP@.5:.95", "The same, averaged over overlaps from 50 % to 95 %: rewards tight boxes."],
  ar_1: ["AR@1", "Share of true boxes found with the surest box of each picture and class."],
  ar_10: ["AR@10", "Share of true boxes found with the ten surest boxes."],
  ar_100: ["AR@100", "Share of true boxes found with the hundred surest boxes."],
  accuracy: ["Accuracy", RATE + "pictures whose class is called rightly."],
  mean_class_accuracy: [
    "Mean class accuracy",
    "Mean over classes of the share called rightly: rare classes count as much as common ones.",
  ],
  macro_f1: ["Macro F1", "Mean F1 over the classes: rare classes count as much as common ones."],
  ece: ["Calibration error", "How far stated confidence and share of right calls lie apart.", true],
  brier: [
    "Brier score",
    "Squared error of the class probabilities, from 0 (sure and right) to 2.",
    true,
    true,
  ],
  precision: ["Precision", RATE + "the calls of this class that are right."],
  recall: ["Recall", RATE + "this class that is called so."],
  f1: ["F1", "Balance of precision and recall of this class."],
};

/** Title, meaning and kind of a metric; an unknown one is shown by its name. */
export function metric(name) {
  const [title, meaning, lower = false, plain = false] = KNOWN[name] ?? [name.replaceAll("_", " ")];
  return { name, title, meaning, lower, plain };
}

/** What an estimate was computed from; that of the maps is a mean over categories. */
export function basis(name, n) {
  const [one, many] = /^(image|pixel)_|^aupro/.test(name)
    ? ["category", "categories"]
    : ["picture", "pictures"];
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** The metrics of a row of the evaluation: the columns that hold an estimate. */
export function metricsOf(row) {
  return Object.keys(row).filter((name) => isEstimate(row[name]));
}

export function isEstimate(value) {
  return value !== null && typeof value === "object" && "value" in value && "low" in value;
}

/** "91.2 to 94.0" of an estimate; empty where no interval was drawn. */
export function interval(estimate, options) {
  if (estimate.low === null) return "";
  return `${number(estimate.low, options)} to ${number(estimate.high, options)}`;
}

/** Whether an interval says more than chance: it lies on one side of zero. */
export function excludesZero(estimate) {
  return estimate.low !== null && (estimate.low > 0 || estimate.high < 0);
}

export const VERDICTS = {
  escape: ["Escaped", "Defective, but would be shipped."],
  overkill: ["False alarm", "Good, but would be stopped."],
  caught: ["Caught", "Defective and stopped."],
  passed: ["Passed", "Good and shipped."],
};

namespace Microsoft.ML.RepVgg.Reports;

public sealed partial class TrainingReport
{
    private const int WorstImages = 12;

    /// <summary>The evaluation of a network for segmentation; null for none.</summary>
    public SegmentationReport? Segmentation { get; set; }

    private static void AddSegmentation(Markup page, SegmentationReport report)
    {
        var metrics = report.Metrics;
        page.Add($"""<section><h2>Classes</h2><p class="muted">Intersection over union: the pixels that have the class as label and as prediction, divided by those that have it as one of both.</p><div class="scroll"><table><thead><tr><th>class</th><th class="number">labelled pixels</th><th class="number">IoU</th><th class="number">recall</th></tr></thead><tbody>""");
        for (int label = 0; label < metrics.Classes; label++)
        {
            long pixels = Pixels(label);
            page.Add($"""<tr data-class="{report.ClassNames[label]}" data-iou="{metrics.PerClassIoU[label]}"><td class="name">{report.ClassNames[label]}</td><td class="number">{pixels:n0}</td>{Share(metrics.PerClassIoU[label])}{Share((double)metrics.Count(label, label) / pixels)}</tr>""");
        }
        page.Add($"""</tbody><tfoot><tr><td>mean of the classes</td><td class="number">{metrics.LabelledPixels:n0}</td>{Share(metrics.MeanIoU)}<td></td></tr></tfoot></table></div></section>""");

        page.Add($"""<section><h2>Confusion matrix</h2><p class="muted">A row is a label, a column is a predicted class; percent of the labelled pixels of the row.</p><div class="scroll">""");
        ReportCharts.ConfusionMatrix(page, report.ClassNames, metrics.Count, "pixels", asShares: true);
        page.Add($"</div></section>");

        page.Add($"""<section><h2>Worst images</h2><p class="muted">The images with the smallest mean IoU: the image, its mask, and the predicted mask.</p><div class="cards wide">""");
        foreach (var image in report.Worst(WorstImages))
        {
            string[] names = ["The image", "The mask of", "The predicted mask of"];
            string file = Path.GetFileName(image.ImagePath);
            page.Add($"""<figure class="card" data-iou="{image.MeanIoU}"><div class="pictures">{new Markup.Literal(string.Concat(report.Draw(image).Zip(names).Select(drawing => Picture(drawing.First, $"{drawing.Second} {file}"))))}</div>""");
            page.Add($"""<figcaption>mean IoU {image.MeanIoU:0.000}<br/>pixel accuracy {100 * image.PixelAccuracy:0.0}%<span class="path muted" title="{image.ImagePath}">{file}</span></figcaption></figure>""");
        }
        page.Add($"</div></section>");

        long Pixels(int label) => Enumerable.Range(0, metrics.Classes).Sum(prediction => metrics.Count(label, prediction));

        static Markup.Literal Share(double value) => double.IsNaN(value) ? new("""<td class="number">-</td>""") : Bar(value);
    }
}

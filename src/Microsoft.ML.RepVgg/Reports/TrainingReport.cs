using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using RepVgg.Runtime.Files;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg.Reports;

/// <summary>A page about a training run: one HTML file that contains all charts and images, runs no scripts, and loads nothing from the network.</summary>
public sealed partial class TrainingReport
{
    private static readonly JsonSerializerOptions _json = new(RunFolder.JsonOptions) { WriteIndented = false };

    /// <summary>Title of the page.</summary>
    public string Title { get; set; } = "RepVGG training";

    /// <summary>Results of the epochs, such as <see cref="RepVggTransformer.History"/>; empty for none.</summary>
    public IReadOnlyList<EpochResult> History { get; set; } = [];

    /// <summary>The epoch of the model; null if it is not known.</summary>
    public int? BestEpoch { get; set; }

    /// <summary>The evaluation of the model; null for none.</summary>
    public ClassificationReport? Evaluation { get; set; }

    /// <summary>The settings of the run. Values that are not texts are shown as JSON.</summary>
    public IEnumerable<KeyValuePair<string, object?>> Settings { get; set; } = [];

    /// <summary>Facts about the machine, such as the device of the training. The operating system, the number of processors and the versions of .NET and of this library are added.</summary>
    public IEnumerable<KeyValuePair<string, string>> Hardware { get; set; } = [];

    /// <summary>Gets a small picture of an image, the content of a PNG or JPEG file; null for none. It is called for the images that are shown.</summary>
    public Func<ImagePrediction, byte[]?>? Thumbnail { get; set; }

    /// <summary>Gets a picture of the regions of an image that the prediction depends on, the content of a PNG or JPEG file; null for none.</summary>
    public Func<ImagePrediction, byte[]?>? Heatmap { get; set; }

    /// <summary>Augmented training images, contents of PNG or JPEG files.</summary>
    public IEnumerable<byte[]> AugmentedImages { get; set; } = [];

    /// <summary>Writes the page.</summary>
    /// <param name="path">The file, which is replaced.</param>
    /// <exception cref="ArgumentException">A picture is neither PNG nor JPEG.</exception>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void Write(string path)
    {
        byte[] content = Encoding.UTF8.GetBytes(ToHtml());
        AtomicFile.Write(path, stream => stream.Write(content));
    }

    /// <summary>Gets the page as text.</summary>
    /// <exception cref="ArgumentException">A picture is neither PNG nor JPEG.</exception>
    public string ToHtml()
    {
        var page = new Markup();
        page.Add($"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8"/>
            <meta name="viewport" content="width=device-width, initial-scale=1"/>
            <meta name="color-scheme" content="light dark"/>
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"/>
            <title>{Title}</title>
            <style>{new Markup.Literal(Style)}</style>
            </head>
            <body>
            <main>
            <header><h1>{Title}</h1><p class="muted">{DateTimeOffset.Now:yyyy-MM-dd HH:mm}</p></header>
            """);
        AddSummary(page);
        if (History.Count > 0)
            AddTraining(page, History, BestEpoch);
        if (Evaluation is not null)
        {
            AddConfusion(page, Evaluation);
            AddCalibration(page, Evaluation);
            AddTopLosses(page, Evaluation);
            AddClasses(page, Evaluation);
        }
        if (Segmentation is not null)
            AddSegmentation(page, Segmentation);
        AddAugmentedImages(page);
        AddFacts(page);
        page.Add($"</main>\n</body>\n</html>");
        return page.ToString();
    }

    private static void AddTraining(Markup page, IReadOnlyList<EpochResult> history, int? bestEpoch)
    {
        int[] epochs = [.. history.Select(epoch => epoch.Epoch)];
        bool hasTop5 = history.Any(epoch => epoch.ValidationTop5Accuracy is not null);
        page.Add($"<section><h2>Training</h2>\n<div class=\"columns\">");
        AddChart("Loss", "", epoch => epoch.TrainingLoss, epoch => epoch.ValidationLoss);
        bool hasMeanIoU = history.Any(epoch => epoch.TrainingMeanIoU is not null);
        if (hasMeanIoU)
            AddChart("Mean IoU", "", epoch => epoch.TrainingMeanIoU, epoch => epoch.ValidationMeanIoU);
        else
            AddChart("Accuracy", "%", epoch => epoch.TrainingAccuracy, epoch => epoch.ValidationAccuracy);
        page.Add($"</div>\n<details><summary>Table of epochs</summary><div class=\"scroll\"><table class=\"numbers\">");
        page.Add($"<thead><tr><th>epoch</th><th>training loss</th><th>training accuracy</th><th>validation loss</th><th>validation accuracy</th>{new Markup.Literal(hasTop5 ? "<th>top 5</th>" : "")}{new Markup.Literal(hasMeanIoU ? "<th>mean IoU</th>" : "")}<th>learning rate</th><th>seconds</th></tr></thead><tbody>");
        foreach (var epoch in history)
            page.Add($"<tr><td>{epoch.Epoch}</td><td>{epoch.TrainingLoss:f4}</td><td>{epoch.TrainingAccuracy:p2}</td><td>{epoch.ValidationLoss:f4}</td><td>{epoch.ValidationAccuracy:p2}</td>{new Markup.Literal(hasTop5 ? FormattableString.Invariant($"<td>{epoch.ValidationTop5Accuracy:p2}</td>") : "")}{new Markup.Literal(hasMeanIoU ? FormattableString.Invariant($"<td>{epoch.ValidationMeanIoU ?? epoch.TrainingMeanIoU:f4}</td>") : "")}<td>{epoch.LearningRate:g3}</td><td>{(epoch.TrainingTime + epoch.ValidationTime).TotalSeconds:f1}</td></tr>");
        page.Add($"</tbody></table></div></details></section>");

        void AddChart(string name, string unit, Func<EpochResult, double?> training, Func<EpochResult, double?> validation)
        {
            page.Add($"""<figure><figcaption><b>{name}</b><span class="key training">training</span>""");
            if (history.Any(epoch => validation(epoch) is not null))
                page.Add($"""<span class="key validation">validation</span>""");
            if (bestEpoch is not null)
                page.Add($"""<span class="key best">best epoch</span>""");
            page.Add($"</figcaption>");
            ReportCharts.Curves(page, name, epochs, [new("training", [.. history.Select(training)]), new("validation", [.. history.Select(validation)])], bestEpoch, unit);
            page.Add($"</figure>");
        }
    }

    private static void AddConfusion(Markup page, ClassificationReport report)
    {
        page.Add($"""<section><h2>Confusion matrix</h2><p class="muted">A row is a true class, a column is a predicted class.</p>""");
        page.Add($"""<div class="choice"><input type="radio" name="matrix" id="shares" checked="checked"/><label for="shares">percent of the true class</label><input type="radio" name="matrix" id="counts"/><label for="counts">numbers of images</label>""");
        page.Add($"""<div class="scroll matrix-shares">""");
        ReportCharts.ConfusionMatrix(page, report.ClassNames, (label, predicted) => report.ConfusionMatrix[label][predicted], "images", asShares: true);
        page.Add($"""</div><div class="scroll matrix-counts">""");
        ReportCharts.ConfusionMatrix(page, report.ClassNames, (label, predicted) => report.ConfusionMatrix[label][predicted], "images", asShares: false);
        page.Add($"</div></div></section>");
    }

    private static void AddCalibration(Markup page, ClassificationReport report)
    {
        page.Add($"""<div class="columns"><section><h2>Most confused classes</h2>""");
        var pairs = report.MostConfused(12);
        if (pairs.Count == 0)
            page.Add($"""<p class="muted">All images are classified correctly.</p>""");
        else
            page.Add($"""<div class="scroll"><table><thead><tr><th>true class</th><th>predicted as</th><th class="number">images</th><th class="number">of the class</th></tr></thead><tbody>""");
        double largest = pairs.Select(Share).DefaultIfEmpty().Max();
        foreach (var pair in pairs)
        {
            double share = Share(pair);
            page.Add($"""<tr data-pair="{pair.Label} {pair.Predicted}" data-count="{pair.Count}"><td class="name">{report.ClassNames[pair.Label]}</td><td class="name">{report.ClassNames[pair.Predicted]}</td><td class="number">{pair.Count}</td>{Bar(share / largest, "wrong", $"{100 * share:0.0}%")}</tr>""");
        }
        if (pairs.Count > 0)
            page.Add($"</tbody></table></div>");
        page.Add($"""</section><section><h2>Calibration</h2><p class="muted">Accuracy of the images (thick line) by the probability of the predicted class, and the number of images below. On the diagonal, both are equal; orange is the difference. Expected calibration error: {100 * report.ExpectedCalibrationError:0.0}%.</p>""");
        ReportCharts.Reliability(page, report.ReliabilityBins);
        page.Add($"</section></div>");

        double Share(ConfusedPair pair) => (double)pair.Count / report.Classes[pair.Label].Support;
    }

    private static void AddClasses(Markup page, ClassificationReport report)
    {
        page.Add($"""<section><h2>Classes</h2><div class="scroll"><table><thead><tr><th>class</th><th class="number">images</th><th class="number">precision</th><th class="number">recall</th><th class="number">F1</th></tr></thead><tbody>""");
        foreach (var metrics in report.Classes)
            page.Add($"""<tr data-class="{metrics.Name}" data-support="{metrics.Support}" data-precision="{metrics.Precision}" data-recall="{metrics.Recall}" data-f1="{metrics.F1}"><td class="name">{metrics.Name}</td><td class="number">{metrics.Support}</td>{Bar(metrics.Precision)}{Bar(metrics.Recall)}{Bar(metrics.F1)}</tr>""");
        page.Add($"""</tbody><tfoot><tr><td>mean of the classes</td><td class="number">{report.Predictions.Count}</td>{Bar(report.MacroPrecision)}{Bar(report.MacroRecall)}{Bar(report.MacroF1)}</tr></tfoot></table></div></section>""");
    }

    private static Markup.Literal Bar(double length, string colour = "right", FormattableString? text = null)
    {
        var cell = new Markup();
        cell.Add($"""<td class="number bar {colour}"><i style="width:{100 * length:0.#}%"></i><span>{FormattableString.Invariant(text ?? $"{length:0.000}")}</span></td>""");
        return new(cell.ToString().TrimEnd());
    }

    private static string DataUri(byte[] content, string what) => content switch
    {
        [0x89, (byte)'P', (byte)'N', (byte)'G', ..] => $"data:image/png;base64,{Convert.ToBase64String(content)}",
        [0xFF, 0xD8, 0xFF, ..] => $"data:image/jpeg;base64,{Convert.ToBase64String(content)}",
        _ => throw new ArgumentException($"{what} is neither a PNG nor a JPEG file. Encode it, for example with MLImage.Save to a file whose name ends in .png."),
    };

    private void AddSummary(Markup page)
    {
        page.Add($"<div class=\"tiles\">");
        if (Evaluation is { } report)
        {
            Tile("accuracy_top1", report.Top1Accuracy, "accuracy", $"{100 * report.Top1Accuracy:0.0}%");
            if (report.Top5Accuracy is { } top5)
                Tile("accuracy_top5", top5, "top-5 accuracy", $"{100 * top5:0.0}%");
            Tile("macro_f1", report.MacroF1, "macro F1", $"{report.MacroF1:0.000}");
            Tile("log_loss", report.LogLoss, "log-loss", $"{report.LogLoss:0.000}");
            Tile("expected_calibration_error", report.ExpectedCalibrationError, "calibration error", $"{100 * report.ExpectedCalibrationError:0.0}%");
            Tile("images", report.Predictions.Count, "images evaluated", $"{report.Predictions.Count:n0}");
        }
        if (Segmentation is { } masks)
        {
            Tile("mean_iou", masks.Metrics.MeanIoU, "mean IoU", $"{masks.Metrics.MeanIoU:0.000}");
            Tile("pixel_accuracy", masks.Metrics.PixelAccuracy, "pixel accuracy", $"{100 * masks.Metrics.PixelAccuracy:0.0}%");
            Tile("images", masks.Images.Count, "images evaluated", $"{masks.Images.Count:n0}");
        }
        if (History.Count > 0)
            Tile("epochs", History.Count, BestEpoch is { } best ? FormattableString.Invariant($"epochs, best: {best}") : "epochs", $"{History.Count}");
        page.Add($"</div>");

        void Tile(string metric, double value, string name, FormattableString text) =>
            page.Add($"""<div class="tile" data-metric="{metric}" data-value="{value}"><b>{FormattableString.Invariant(text)}</b><span>{name}</span></div>""");
    }

    private void AddTopLosses(Markup page, ClassificationReport report)
    {
        page.Add($"""<section><h2>Largest losses</h2><p class="muted">The images to whose true class the model gives the smallest probabilities: hard images, and labels that may be wrong.</p><div class="cards">""");
        foreach (var image in report.TopLosses(12))
        {
            page.Add($"""<figure class="card" data-index="{image.Index}" data-loss="{image.Loss}">""");
            var pictures = new[] { (Get: Thumbnail, Name: "thumbnail"), (Get: Heatmap, Name: "heatmap") }
                .Select(kind => (kind.Name, Content: kind.Get?.Invoke(image)))
                .Where(picture => picture.Content is not null).ToList();
            if (pictures.Count > 0)
                page.Add($"""<div class="pictures">{new Markup.Literal(string.Concat(pictures.Select(picture => Picture(picture.Content!, FormattableString.Invariant($"The {picture.Name} of image {image.Index}")))))}</div>""");
            page.Add($"""<figcaption><b>{report.ClassNames[image.Label]}</b><br/>as {report.ClassNames[image.Predicted]}, {100 * image.Probability:0.0}%<br/><span class="muted">loss {image.Loss:0.00}</span>""");
            if (image.Path is { } path)
                page.Add($"""<span class="path muted" title="{path}">{Path.GetFileName(path)}</span>""");
            page.Add($"</figcaption></figure>");
        }
        page.Add($"</div></section>");
    }

    private void AddAugmentedImages(Markup page)
    {
        var images = AugmentedImages.ToList();
        if (images.Count == 0)
            return;
        page.Add($"""<section><h2>Augmented training images</h2><div class="samples">{new Markup.Literal(string.Concat(images.Select((image, i) => Picture(image, FormattableString.Invariant($"Augmented image {i}")))))}</div></section>""");
    }

    private static string Picture(byte[] content, string name)
    {
        var picture = new Markup();
        picture.Add($"""<img src="{DataUri(content, name)}" alt="{name}"/>""");
        return picture.ToString();
    }

    private void AddFacts(Markup page)
    {
        var time = new List<KeyValuePair<string, string>>();
        if (History.Count > 0)
        {
            var (training, validation) = (Sum(epoch => epoch.TrainingTime), Sum(epoch => epoch.ValidationTime));
            time.Add(new("epochs", FormattableString.Invariant($"{History.Count}")));
            time.Add(new("time of training", Duration(training)));
            time.Add(new("time of validation", Duration(validation)));
            if (training > TimeSpan.Zero)
                time.Add(new("training images per second", FormattableString.Invariant($"{History.Sum(epoch => (double)epoch.TrainingImages) / training.TotalSeconds:n0}")));
        }
        string version = typeof(TrainingReport).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "";
        page.Add($"""<div class="columns">""");
        AddTable("Time and hardware", [
            .. time,
            .. Hardware,
            new("operating system", RuntimeInformation.OSDescription),
            new("processors", FormattableString.Invariant($"{Environment.ProcessorCount}, {RuntimeInformation.ProcessArchitecture}")),
            new(".NET", RuntimeInformation.FrameworkDescription),
            new("Microsoft.ML.RepVgg", version)]);
        AddTable("Settings", [.. Settings.Select(setting => KeyValuePair.Create(setting.Key, setting.Value as string ?? JsonSerializer.Serialize(setting.Value, _json)))]);
        page.Add($"</div>");

        TimeSpan Sum(Func<EpochResult, TimeSpan> part) => History.Aggregate(TimeSpan.Zero, (sum, epoch) => sum + part(epoch));

        void AddTable(string name, List<KeyValuePair<string, string>> rows)
        {
            if (rows.Count == 0)
                return;
            page.Add($"<section><h2>{name}</h2><table class=\"facts\"><tbody>");
            foreach (var (key, value) in rows)
                page.Add($"<tr><th>{key}</th><td>{value}</td></tr>");
            page.Add($"</tbody></table></section>");
        }
    }

    private static string Duration(TimeSpan time) => time.TotalHours >= 1
        ? FormattableString.Invariant($"{(int)time.TotalHours} h {time.Minutes} min")
        : time.TotalMinutes >= 1 ? FormattableString.Invariant($"{time.Minutes} min {time.Seconds} s") : FormattableString.Invariant($"{time.TotalSeconds:f1} s");
}

using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Reports;

namespace RepVggNamespace;

public partial class MLModel1
{
    /// <summary>Evaluates the saved model, and writes metrics.json, predictions.csv and report.html.</summary>
    /// <param name="mlContext">The context.</param>
    /// <param name="folder">A folder with one subfolder of images per class; not the images that the model was trained on.</param>
    /// <param name="reportFolder">The folder for the report.</param>
    public static ClassificationReport Evaluate(MLContext mlContext, string folder, string reportFolder)
    {
        using var model = mlContext.Model.LoadRepVgg(MLNetModelPath, out _);
        var report = ClassificationReport.FromScoredData(model.Transform(LoadImageFromFolder(mlContext, folder)));
        Directory.CreateDirectory(reportFolder);
        report.WriteMetrics(Path.Combine(reportFolder, "metrics.json"));
        report.WritePredictions(Path.Combine(reportFolder, "predictions.csv"));
        new TrainingReport { Title = "MLModel1", Evaluation = report }.Write(Path.Combine(reportFolder, "report.html"));
        return report;
    }
}

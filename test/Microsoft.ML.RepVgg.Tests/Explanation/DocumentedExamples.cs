using Microsoft.ML.RepVgg;
using RepVgg.Weights.Onnx;

namespace Microsoft.ML.RepVgg.Tests.Explanation;

/// <summary>The examples of docs/explain.md. A test compares the text between the comments with the page.</summary>
internal static class DocumentedExamples
{
    /// <summary>Runs the examples in the current directory, with the files model.zip and dog.jpg in it.</summary>
    /// <returns>The transformer that scores the exported file.</returns>
    public static IEstimator<ITransformer> Run(MLContext mlContext)
    {
        // example
        using var model = mlContext.Model.LoadRepVgg("model.zip", out _);
        var classifier = model.OfType<RepVggTransformer>().Single();
        byte[] image = File.ReadAllBytes("dog.jpg");

        ClassActivationMap map = classifier.Explain(image);            // of the predicted class
        Console.WriteLine($"{map.ClassName}: {map.Probability:p1}, logit {map.Logit:f2}");
        File.WriteAllBytes("dog-explained.png", map.DrawOnImage(image));
        File.WriteAllBytes("dog-as-the-network-sees-it.png", map.DrawOnInput(opacity: 0.4f));

        ClassActivationMap other = classifier.Explain(image, "cat");   // of another class, by its name or index
        int best = other.Values.IndexOf(other.Values.Max());
        var (x, y) = other.ToImage(best % other.Width, best / other.Width);
        Console.WriteLine($"Most like a {other.ClassName} is the part around ({x:f0}, {y:f0}).");
        // end

        // example
        classifier.ExportToOnnx("model.onnx", new OnnxExportOptions { ActivationMap = true, BatchSize = 1 });
        var stock = mlContext.Transforms.ApplyOnnxModel(["logits", "activation_map"], ["input"], "model.onnx");
        // end
        return stock;
    }
}

using Microsoft.ML;

namespace RepVggNamespace;

// dotnet run -- train FOLDER      trains on a folder with one subfolder of images per class, and writes MLModel1.mlnet
// dotnet run -- evaluate FOLDER   evaluates the model on such a folder, and writes evaluation/report.html
// dotnet run -- predict IMAGE     prints the most probable classes of an image
internal static class Program
{
    private static int Main(string[] args)
    {
        switch (args)
        {
            case ["train", var folder]:
                MLModel1.Train(MLModel1.MLNetModelPath, folder);
                Console.WriteLine($"The model: {MLModel1.MLNetModelPath}");
                Console.WriteLine("Copy it to the folder of the project to make it a part of the project: builds and publishing then take it along.");
                return 0;
            case ["evaluate", var folder]:
                var report = MLModel1.Evaluate(new MLContext(), folder, "evaluation");
                Console.WriteLine(FormattableString.Invariant($"Accuracy {report.Top1Accuracy:p1}, log-loss {report.LogLoss:f3}. The report: {Path.GetFullPath(Path.Combine("evaluation", "report.html"))}"));
                return 0;
            case ["predict", var image]:
                foreach (var (label, score) in MLModel1.PredictAllLabels(new MLModel1.ModelInput { ImageSource = File.ReadAllBytes(image) }).Take(5))
                    Console.WriteLine(FormattableString.Invariant($"{label,-40} {score:p1}"));
                return 0;
            default:
                Console.Error.WriteLine("Usage: dotnet run -- train FOLDER | evaluate FOLDER | predict IMAGE");
                return 2;
        }
    }
}

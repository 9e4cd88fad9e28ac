using Microsoft.ML;
using Microsoft.ML.RepVgg;

namespace RepVggNamespace;

public partial class MLModel1
{
    private static readonly string[] _imageExtensions = [".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"];

    /// <summary>Trains the model and saves it. An existing file is replaced when the new model is complete.</summary>
    /// <param name="outputModelPath">The file of the model.</param>
    /// <param name="folder">A folder with one subfolder of images per class.</param>
    public static void Train(string outputModelPath, string folder)
    {
        var mlContext = new MLContext(seed: 1);
        mlContext.Log += (_, entry) =>
        {
            if (entry.Source.StartsWith("RepVgg", StringComparison.Ordinal))
                Console.WriteLine(entry.RawMessage);
        };
        var data = LoadImageFromFolder(mlContext, folder);
        var model = RetrainModel(mlContext, data);
        SaveModel(mlContext, model, data, outputModelPath);
    }

    /// <summary>Makes the images of a folder a data view; each file is read when its row is.</summary>
    /// <param name="mlContext">The context.</param>
    /// <param name="folder">A folder with one subfolder of images per class.</param>
    public static IDataView LoadImageFromFolder(MLContext mlContext, string folder)
    {
        var images = Directory.EnumerateDirectories(folder).Order(StringComparer.Ordinal)
            .SelectMany(classFolder => Directory.EnumerateFiles(classFolder).Order(StringComparer.Ordinal).Select(path => (Path: path, Label: Path.GetFileName(classFolder))))
            .Where(image => _imageExtensions.Contains(Path.GetExtension(image.Path), StringComparer.OrdinalIgnoreCase))
            .ToList();
        if (images.Count == 0)
            throw new InvalidOperationException($"'{folder}' has no subfolders with images ({string.Join(", ", _imageExtensions)}).");
        return mlContext.Data.LoadFromEnumerable(images.Select(image => new ModelInput { Label = image.Label, ImageSource = File.ReadAllBytes(image.Path) }));
    }

    /// <summary>Trains the model.</summary>
    public static ITransformer RetrainModel(MLContext mlContext, IDataView trainData) => BuildPipeline(mlContext).Fit(trainData);

    /// <summary>Builds the pipeline.</summary>
    public static IEstimator<ITransformer> BuildPipeline(MLContext mlContext) =>
        mlContext.Transforms.Conversion.MapValueToKey("Label", addKeyValueAnnotationsAsText: false)
            .Append(mlContext.MulticlassClassification.Trainers.RepVgg(new RepVggTrainer.Options
            {
                LabelColumnName = "Label",
                FeatureColumnName = "ImageSource",
                Epochs = 30,
                BatchSize = 32,
                ValidationSetFraction = 0.2f,
            }))
            .Append(mlContext.Transforms.Conversion.MapKeyToValue("PredictedLabel"));

    /// <summary>Saves the model.</summary>
    public static void SaveModel(MLContext mlContext, ITransformer model, IDataView data, string modelSavePath) =>
        mlContext.Model.SaveRepVgg(model, data.Schema, modelSavePath);
}

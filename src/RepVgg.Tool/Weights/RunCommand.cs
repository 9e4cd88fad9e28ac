using RepVgg.Inference;
using RepVgg.Tool.CommandLine;
using RepVgg.Weights;
using RepVgg.Weights.Files;

namespace RepVgg.Tool.Weights;

/// <summary>Computes the logits of images in a NumPy file, for comparison with other programs.</summary>
internal static class RunCommand
{
    public static int Run(Arguments arguments, Interrupt interrupt)
    {
        string path = arguments.Operand(0), imagesPath = arguments.Operand(1), output = Path.GetFullPath(arguments.Operand(2));
        if (output == Path.GetFullPath(imagesPath) || output == Path.GetFullPath(path))
            throw new UsageException("LOGITS.npy is a file that is read, and would be lost. Give another name.");
        int threads = arguments.Threads;
        var images = NumpyFile.Read(imagesPath);
        if (images.Shape is not [int count and > 0, _, int height, int width])
            throw new InvalidDataException($"'{imagesPath}' is an array of {images}; [images, channels, height, width] are needed.");
        var weights = WeightsCommands.Read(path, WeightsCommands.FileOptions(arguments) with { ImageHeight = height, ImageWidth = width });
        if (images.Shape[1] != weights.Architecture.InputChannels)
            throw new InvalidDataException($"The images in '{imagesPath}' have {images.Shape[1]} channels; {weights.Architecture.Name} reads {weights.Architecture.InputChannels}.");
        if (weights.Classes == 0)
            throw new InvalidDataException($"'{path}' holds no classifier: 'linear.weight' is missing, so there are no logits. Its features can be used, and it can be fine-tuned.");
        WeightsCommands.PrintAssumptions(weights.Assumptions);
        var network = weights.ToDeployNetwork();
        var logits = TensorData.Zeros(count, network.Classes);
        using (var engine = new InferenceEngine(network, threads))
            engine.Run(images.Values, count, logits.Values);
        interrupt.Defer(() => NumpyFile.Write(output, logits));
        Console.WriteLine($"{output}: logits [{count}, {network.Classes}] of {network.Architecture.Name}.");
        return 0;
    }
}

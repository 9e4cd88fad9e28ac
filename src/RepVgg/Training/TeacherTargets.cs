using RepVgg.Architectures;
using RepVgg.Inference;

namespace RepVgg.Training;

/// <summary>Computes the class probabilities of the teacher for training batches. Any number of threads can use an instance at the same time.</summary>
internal sealed class TeacherTargets : IDisposable
{
    private readonly InferenceEngine _engine;
    private readonly float _temperature;

    /// <param name="distillation">The teacher and the temperature.</param>
    /// <param name="normalization">The normalisation of the batches.</param>
    /// <param name="height">Height of the images in pixels.</param>
    /// <param name="width">Width of the images in pixels.</param>
    public TeacherTargets(Distillation distillation, Normalization normalization, int height, int width)
    {
        var teacher = distillation.Teacher with { ImageHeight = height, ImageWidth = width, Normalization = Renormalization(normalization, distillation.Teacher.Normalization) };
        _engine = new InferenceEngine(teacher, distillation.Threads);
        _temperature = distillation.Temperature;
    }

    /// <summary>Writes the probabilities at the temperature, times the weights of the images in the loss, to a batch with its final images and targets.</summary>
    /// <exception cref="InvalidOperationException">A logit of the teacher is not finite.</exception>
    public void Apply(LabeledBatch batch)
    {
        int classes = _engine.Classes;
        var rows = batch.CreateTeacherTargets(classes);
        _engine.Run(batch.Images, batch.Count, rows);
        for (int i = 0; i < batch.Count; i++)
        {
            double weight = 1;
            if (!batch.Targets.IsEmpty)
            {
                weight = 0;
                foreach (float target in batch.Targets.Slice(i * classes, classes))
                    weight += target;
            }
            Softmax(rows.Slice(i * classes, classes), weight);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _engine.Dispose();

    /// <summary>Replaces logits v by weight * softmax(v / temperature).</summary>
    private void Softmax(Span<float> row, double weight)
    {
        double largest = double.NegativeInfinity, sum = 0;
        foreach (float logit in row)
        {
            if (!float.IsFinite(logit))
                throw new InvalidOperationException(FormattableString.Invariant($"The teacher computes a logit of {logit} for a training image. Its weights or its normalisation do not suit these images."));
            largest = Math.Max(largest, logit);
        }
        foreach (float logit in row)
            sum += Math.Exp((logit - largest) / _temperature);
        foreach (ref float value in row)
            value = (float)(weight * Math.Exp((value - largest) / _temperature) / sum);
    }

    /// <summary>The normalisation by which pixels with one normalisation get another one.</summary>
    private static Normalization Renormalization(Normalization from, Normalization to) => new(
        [.. from.Mean.Zip(from.Scale, to.Mean).Select(channel => (channel.Third - channel.First) * channel.Second)],
        [.. from.Scale.Zip(to.Scale).Select(channel => channel.Second / channel.First)]);
}

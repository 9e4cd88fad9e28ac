using System.Text;
using Microsoft.ML.RepVgg.Reports;
using RepVgg.Runtime.Files;
using RepVgg.Training;

namespace Microsoft.ML.RepVgg;

/// <summary>The learning rates that <see cref="RepVggTrainer.FindLearningRate"/> tries.</summary>
public sealed record LearningRateFinderOptions
{
    /// <summary>Learning rate of the first step, more than 0.</summary>
    public double FirstRate { get; init; } = 1e-7;

    /// <summary>Learning rate of the last step, more than <see cref="FirstRate"/>. The search ends before it if the loss diverges.</summary>
    public double LastRate { get; init; } = 10;

    /// <summary>Number of steps, each with one batch, from 20 to 100,000.</summary>
    public int Steps { get; init; } = 100;

    internal void Check()
    {
        Require(FirstRate is > 0 and < float.MaxValue, nameof(FirstRate), FirstRate, "more than 0");
        Require(LastRate > FirstRate && LastRate <= float.MaxValue, nameof(LastRate), LastRate, FormattableString.Invariant($"more than FirstRate ({FirstRate}) and finite"));
        Require(Steps is >= 20 and <= 100_000, nameof(Steps), Steps, "from 20 to 100,000");

        static void Require(bool condition, string name, object value, string range)
        {
            if (!condition)
                throw new ArgumentException(FormattableString.Invariant($"{nameof(LearningRateFinderOptions)}.{name} is {value}; it must be {range}."), name);
        }
    }
}

/// <summary>The losses of a search for the learning rate, and the rate that they suggest.</summary>
/// <remarks>
/// The smoothed loss of step n (from 1) is a / (1 - 0.9^n), where a is the exponential moving average of the losses with the decay 0.9, from 0. The first 9 steps, whose smoothed losses are means of few losses, do not
/// count for the smallest one. The search ends when the smoothed loss exceeds 4 times the smallest one.
/// </remarks>
/// <param name="Suggestion">
/// A tenth of the rate at which the smoothed loss is smallest, as the peak learning rate of a training; null if the loss does not fall, because the rates are too small or the network does not learn. It falls if the
/// largest smoothed loss before that point is larger by at least 2 %, and by more than 1.5 times the noise: the root mean square of the differences between the losses and the smoothed losses up to that point.
/// </param>
/// <param name="Points">The loss of each step, by rising learning rate, up to the step that ended the search. A loss that is not finite is left out.</param>
public sealed record LearningRateFinderResult(float? Suggestion, IReadOnlyList<LearningRatePoint> Points)
{
    /// <summary>Draws the losses over the learning rates, with the suggestion, as an SVG image for light and dark pages.</summary>
    /// <param name="path">The file, which is replaced when the new one is complete.</param>
    /// <exception cref="IOException">The file cannot be written.</exception>
    public void WriteSvg(string path)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        var markup = new Markup();
        LearningRateChart.Draw(markup, Points, Suggestion);
        AtomicFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(markup.ToString())));
    }

    /// <summary>Describes the result.</summary>
    internal string Describe()
    {
        string range = FormattableString.Invariant($"{Points.Count} steps from {Points[0].LearningRate:g3} to {Points[^1].LearningRate:g3}");
        if (Suggestion is not { } rate)
            return $"No learning rate is suggested, because the loss does not fall in {range}. Try larger rates or larger batches, and check the data.";
        string end = rate * 10 > 0.99 * Points[^1].LearningRate ? " It still falls at the last rate: try larger ones." : "";
        return FormattableString.Invariant($"Suggested learning rate: {rate:g3}, a tenth of that at which the smoothed loss is smallest in {range}.{end}");
    }
}

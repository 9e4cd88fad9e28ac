using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;
using Microsoft.ML.RepVgg.Scoring;
using RepVgg.Reparameterization;

namespace Microsoft.ML.RepVgg;

public sealed partial class RepVggTransformer
{
    /// <summary>The temperature scaling of this classifier; null if it has none, and for a model that was loaded, whose weights contain it.</summary>
    public TemperatureScaling? Calibration { get; internal init; }

    /// <summary>Fits a temperature to labelled images that training has not used, so that the probabilities say how often the predictions are right, and returns a classifier whose logits are divided by it.</summary>
    /// <remarks>
    /// The weights and the biases of the classifier's last layer are divided by the temperature, so that saved models, ONNX files and <see cref="Explain(ReadOnlySpan{byte})"/> have it, too.
    /// The predicted classes do not change. The temperature is fitted to the probabilities of whole images, without
    /// <see cref="RepVggScoringOptions.TestTimeAugmentation"/>. Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    /// </remarks>
    /// <param name="validation">The images and labels. The images of the training set are not suitable, since training has fitted the weights to them.</param>
    /// <param name="labelColumnName">Name of the label column, with the keys of the training data; null for the name that it has in the training data.</param>
    /// <returns>A new classifier; this one is unchanged. Each is to be disposed. <see cref="Calibration"/> of the new one reports the temperature and what it changes.</returns>
    /// <exception cref="ArgumentException">A column is missing or of the wrong type, or its keys are not those of the training data; or there is no row that can be used.</exception>
    /// <exception cref="InvalidOperationException">A row is invalid (see <see cref="RepVggScoringOptions.InvalidRows"/>).</exception>
    /// <exception cref="NotSupportedException">The training form of the architecture cannot be fused (see <see cref="Fusion.CanFuse"/>).</exception>
    /// <exception cref="ObjectDisposedException">The transformer was disposed.</exception>
    public RepVggTransformer FitTemperature(IDataView validation, string? labelColumnName = null)
    {
        ArgumentNullException.ThrowIfNull(validation);
        Fusion.RequireFusable(Architecture);
        var (logits, labels) = ReadLogits(validation, labelColumnName ?? _label.Name);
        var calibration = TemperatureScaling.Fit(Labels, logits, labels);
        return WithResults(new RepVggTransformer(_scored!.WithTemperature(calibration.Temperature), Input, ScoreColumnName, PredictedLabelColumnName, _label, _scoring) { Calibration = calibration });
    }

    /// <summary>Gives another classifier of this training the results of training.</summary>
    private RepVggTransformer WithResults(RepVggTransformer other)
    {
        (other.SkippedTrainingRowCount, other.History, other.BestEpoch, other.AveragedEpochs, other.StopReason) = (SkippedTrainingRowCount, History, BestEpoch, AveragedEpochs, StopReason);
        return other;
    }

    /// <summary>Computes the logits of the rows that can be used.</summary>
    private (IReadOnlyList<float[]> Logits, IReadOnlyList<int> Labels) ReadLogits(IDataView validation, string labelName)
    {
        var label = validation.Schema.GetColumnOrNull(labelName)
            ?? throw new ArgumentException($"Could not find label column '{labelName}'. FitTemperature needs labelled images; give the name of their label column.", nameof(labelName));
        KeyValues.CheckSame(label, _label, Labels.Count);
        var column = new AddedColumn("Logits", new VectorDataViewType(NumberDataViewType.Single, Labels.Count), null, Probabilities.CopyGetter);
        // Not disposed, because the engine belongs to this transformer.
        var view = new NetworkScorer(Input, _engine, _scoring, [column]).Transform(validation);
        var added = view.Schema[^1];
        using var cursor = view.GetRowCursor([label, added]);
        var getKey = cursor.GetGetter<uint>(label);
        var getLogits = cursor.GetGetter<VBuffer<float>>(added);
        var logits = new List<float[]>();
        var labels = new List<int>();
        uint key = 0;
        VBuffer<float> row = default;
        while (cursor.MoveNext())
        {
            getKey(ref key);
            getLogits(ref row);
            if (key == 0 && !_scorer.SkipInvalidRows)
                throw new InvalidOperationException($"Row {cursor.Position}, column '{labelName}': the label is missing (its value is not among the values of the key mapping). Correct or remove the row, or set InvalidRows to Skip.");
            if (key == 0 || float.IsNaN(row.GetItemOrDefault(0)))
                continue;
            logits.Add([.. row.DenseValues()]);
            labels.Add((int)key - 1);
        }
        return logits.Count > 0 ? (logits, labels) : throw new ArgumentException("The data to fit the temperature to has no row that can be used. Check the folder, file or filter that it comes from.", nameof(validation));
    }
}
